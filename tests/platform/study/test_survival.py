"""A study whose driver is killed at random moments ends as one that was not."""

from __future__ import annotations

import pytest

from benchmarks.survival import survive


@pytest.mark.long
def test_a_study_in_pieces_ends_with_the_bytes_of_one_in_peace(tmp_path, monkeypatch):
    monkeypatch.setattr(survive, "_AT_EPOCHS", 1.0)  # in the middle of a trial
    found = survive.survive(tmp_path, kills=1, inputs_first=True)
    assert len(found.faults) == 1
    assert found.resumed
    assert found.mismatches == []
