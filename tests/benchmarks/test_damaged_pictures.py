"""The benchmark of damaged pictures damages what it says, and sees what a decoder does to its process."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from benchmarks import damaged_pictures
from benchmarks.damaged_pictures import damage, damaged, decode_damaged, outcome, pictures
from vip5core.encoders import decode_image
from vip5core.picture_formats import FORMATS


@pytest.mark.slow
def test_every_format_that_is_read_is_there_intact() -> None:
    for form in FORMATS:
        files = pictures()[form.name]
        assert any(outcome(file) == ("decoded", "") for file in files)
        assert {kind for kind, _ in map(outcome, files)} <= {"decoded", "refused"}


def test_damage_is_one_byte_or_many_or_a_cut() -> None:
    data = bytes(1000)
    changed = [damage(data, np.random.default_rng(seed)) for seed in range(300)]
    wrong = [sum(map(bool, each)) if len(each) == len(data) else "cut" for each in changed]
    assert 70 < wrong.count("cut") < 130
    assert 70 < wrong.count(1) < 130
    assert max(count for count in wrong if count != "cut") > 25
    assert data not in changed


def test_the_same_seed_gives_the_same_damage_from_any_start() -> None:
    files = [bytes(100), bytes(200)]
    assert list(damaged(files, 20, seed=3))[8:] == list(damaged(files, 20, seed=3, start=8))
    assert list(damaged(files, 20, seed=3)) != list(damaged(files, 20, seed=4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (lambda: os.kill(os.getpid(), 11), "crashed"),
        (signal.pause, "hung"),
        (lambda: {}["odd"], "escaped"),
    ],
    ids=["crash", "hang", "error"],
)
def test_faults_of_a_decoder_are_counted_and_the_rest_goes_on(fault, kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fourth of ten files meets the fault."""
    files = [bytes([number]) * 50 for number in range(10)]
    fourth = list(damaged(files, 10, seed=0))[3]

    def decode(data: bytes) -> object:
        if data == fourth:
            fault()
        os.write(2, b"oh")
        return decode_image(data)

    monkeypatch.setattr(damaged_pictures, "decode_image", decode)
    monkeypatch.setattr(damaged_pictures, "PATIENCE_S", 3.0)
    found = decode_damaged(files, 10, seed=0)
    assert (found.inputs, getattr(found, kind), found.refused) == (10, 1, 9)
    assert found.crashed + found.hung + found.escaped == 1
    assert found.printed == 18
    assert found.error == ("KeyError: 'odd'" if kind == "escaped" else "")
