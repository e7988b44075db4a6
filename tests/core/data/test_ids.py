"""Item ids must not reveal the held-out items."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.raw import raw_histories

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.vocabulary import ID_SCHEMES, LEAKY_ID_SCHEMES

TRAINING = {"u": "ghbacd", "v": "defi", "w": "aj"}  # every item is trained on by somebody
ITEMS = "abcdefghij"


def numbering(scheme: str, histories: dict[str, str], seed: int = 0) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = build_dataset(raw_histories(histories), Path(folder) / "out", BuildOptions(id_scheme=scheme, seed=seed))
        items = Dataset.load(path).items
    return dict(zip(items["raw_id"], items["item"].tolist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [scheme for scheme in ID_SCHEMES if scheme not in LEAKY_ID_SCHEMES])
@settings(max_examples=8, deadline=None)
@given(held_out=st.lists(st.permutations(ITEMS), min_size=3, max_size=3), seed=st.integers(0, 3))
def test_ids_do_not_depend_on_held_out_items(scheme: str, held_out: list[list[str]], seed: int) -> None:
    endings = [
        [item for item in order if item not in part][:2]
        for order, part in zip(held_out, TRAINING.values(), strict=True)
    ]
    histories = {user: part + "".join(end) for (user, part), end in zip(TRAINING.items(), endings, strict=True)}
    base = {user: part + "".join(sorted(set(ITEMS) - set(part))[:2]) for user, part in TRAINING.items()}
    assert numbering(scheme, histories, seed) == numbering(scheme, base, seed)


def test_sequential_ids_run_along_the_training_parts() -> None:
    numbers = numbering("sequential", {"u": "gbax" + "yz", "v": "bcd" + "ag"})
    assert [numbers[item] for item in "gbaxcd"] == [1, 2, 3, 4, 5, 6]
    assert {numbers["y"], numbers["z"]} == {7, 8}


def test_items_that_are_only_held_out_do_not_run_along_the_users() -> None:
    histories = {f"u{n:02d}": ["a", "b", f"v{n:02d}", f"t{n:02d}"] for n in range(20)}
    numbers = [numbering("sequential", histories, seed) for seed in range(3)]
    orders = {tuple(number[f"t{n:02d}"] for n in range(20)) for number in numbers}
    assert len(orders) == 3
    assert not any(list(order) == sorted(order) for order in orders)


def test_random_ids_follow_the_seed() -> None:
    histories = {"u": ITEMS}
    first = numbering("random", histories, 1)
    assert first == numbering("random", histories, 1)
    assert first != numbering("random", histories, 2)
    assert sorted(first.values()) == list(range(1, 11))


def test_an_unknown_scheme_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown id scheme 'sequental': did you mean 'sequential'"):
        build_dataset(raw_histories({"u": "abcd"}), tmp_path / "out", BuildOptions(id_scheme="sequental"))
