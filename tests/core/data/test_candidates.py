"""Candidate lists: fair, fixed, and stored with the dataset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw import raw_histories

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.candidates import NEGATIVE, draw_candidates
from vip5core.data.dataset import Dataset
from vip5core.data.describe import describe
from vip5core.data.raw import Provided
from vip5core.errors import UserError
from vip5core.vocabulary import CANDIDATES


def ends(histories: list[np.ndarray]) -> list[dict[str, int]]:
    """The targets of leave-one-out."""
    return [{"valid": history[-2], "test": history[-1]} for history in histories]


@pytest.mark.slow
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(5, 400),
    lengths=st.lists(st.integers(4, 30), min_size=1, max_size=5),
    size=st.integers(2, 120),
)
def test_a_list_holds_the_target_and_items_the_user_does_not_have(
    seed: int, n_items: int, lengths: list[int], size: int
) -> None:
    rng = np.random.default_rng(seed)
    histories = [rng.integers(1, n_items + 1, length) for length in lengths]
    lists = draw_candidates(histories, ends(histories), n_items, seed, size)
    assert len(lists) == 2 * len(histories)
    for row in lists.itertuples():
        history, candidates = histories[row.user - 1], row.candidates.tolist()
        target = history[-2 if row.split == "valid" else -1]
        negatives = set(candidates) - {target}
        assert candidates.count(target) == 1
        assert len(negatives) == len(candidates) - 1 == min(size - 1, n_items - len(set(history.tolist())))
        assert not negatives & set(history.tolist())
        assert all(1 <= item <= n_items for item in negatives)


def test_the_same_seed_draws_the_same_lists_and_another_seed_others() -> None:
    histories = [np.arange(1, 9), np.arange(5, 15)]
    draws = [draw_candidates(histories, ends(histories), 500, seed) for seed in (3, 3, 4)]
    first, again, other = (lists["candidates"].tolist() for lists in draws)
    assert [row.tolist() for row in first] == [row.tolist() for row in again]
    assert all(len(row) == CANDIDATES == 100 for row in first)
    assert [row.tolist() for row in first] != [row.tolist() for row in other]


def test_the_place_of_the_target_says_nothing() -> None:
    histories = [np.array([1, 2, 3, 4])] * 3000
    lists = draw_candidates(histories, ends(histories), 50, 0, 10)
    places = [row.candidates.tolist().index(3 if row.split == "valid" else 4) for row in lists.itertuples()]
    assert np.bincount(places, minlength=10) / len(places) == pytest.approx(np.full(10, 0.1), abs=0.02)


def test_a_prepared_dataset_stores_them(shop: Dataset) -> None:
    for user in range(1, shop.n_users + 1):
        for split in ("valid", "test"):
            candidates = shop.candidates(user, split).tolist()
            assert shop.target(user, split) in candidates
            assert len(candidates) == len(set(candidates)) == shop.n_items - len(shop.history(user)) + 1


def test_what_is_mended_in_the_lists_is_told(tmp_path: Path) -> None:
    raw = raw_histories({"u": "abcdefgh", "v": "abcd"})
    provided = {"u": ["h", "x", "a"], "v": ["e", "e", "d", "c", "f"], "nobody": ["a"]}
    raw = replace(raw, provided=Provided(negatives=provided))
    dataset = Dataset.load(build_dataset(raw, tmp_path / "out", BuildOptions(candidates=4)))
    assert {
        drop.reason: (drop.count, drop.examples[0]) for drop in dataset.manifest.drops if drop.what == NEGATIVE
    } == {
        "is the user's held-out item: left out": (3, "user u, item h"),
        "is no item of the dataset: left out": (1, "user u, item x"),
        "is in the user's history: left out": (1, "user u, item a"),
        "is in its list before: left out": (1, "user v, item e"),
    }
    counts = dataset.manifest.counts
    assert [counts[name] for name in ("lists_with_provided_negatives", "provided_lists_filled_by_drawing")] == [2, 2]
    assert [counts[name] for name in ("candidate_lists", "short_candidate_lists", "shortest_candidate_list")] == [
        4,
        2,
        1,
    ]
    raw_ids = dict(zip(dataset.items["item"], dataset.items["raw_id"], strict=True))
    test_of_v = {raw_ids[item] for item in dataset.candidates(2, "test")}
    assert test_of_v >= {"d", "e", "f"}
    assert len(test_of_v) == 4
    assert describe(dataset).candidates == (
        "2 of 4 candidate lists are shorter than 4, the shortest has 1: too few items are left for them; "
        "6 provided negatives were left out; 2 provided lists were filled up by drawing"
    )


def test_lists_as_asked_have_nothing_to_tell(tmp_path: Path) -> None:
    raw = raw_histories({"u": "abcd", "v": "efgh"})
    assert describe(Dataset.load(build_dataset(raw, tmp_path / "out", BuildOptions(candidates=5)))).candidates == ""


def test_a_list_without_a_negative_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"candidates=1: .*at least 2"):
        build_dataset(raw_histories({"u": "abcd"}), tmp_path / "out", BuildOptions(candidates=1))
