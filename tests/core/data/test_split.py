"""Leave-one-out: what is held out, and what a model may see when it predicts it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.raw import raw_histories

from vip5core.data.build import build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.split import leave_one_out, with_positions
from vip5core.errors import UserError


def test_the_last_interaction_is_tested_and_the_one_before_validated() -> None:
    table = pd.DataFrame(
        {"user": ["b", "a", "a", "b", "a", "a", "b", "b", "b"], "timestamp": [5, 9, 1, 4, 3, 7, 1, 2, 3]}
    )
    positioned = with_positions(table)
    split = leave_one_out(positioned)
    assert positioned["user"].tolist() == ["a"] * 4 + ["b"] * 5
    assert positioned["timestamp"].tolist() == [1, 3, 7, 9, 1, 2, 3, 4, 5]
    assert split.tolist() == ["train", "train", "valid", "test", "train", "train", "train", "valid", "test"]


def test_equal_times_keep_the_order_of_the_source() -> None:
    table = pd.DataFrame({"user": ["a"] * 5, "timestamp": [2, 1, 2, 1, 2], "row": range(5)})
    assert with_positions(table)["row"].tolist() == [1, 3, 0, 2, 4]


def test_what_comes_before_the_target_may_be_shown_and_nothing_else(shop: Dataset) -> None:
    for user in range(1, shop.n_users + 1):
        history = shop.history(user).tolist()
        for split, place in (("valid", len(history) - 2), ("test", len(history) - 1)):
            assert shop.before(user, split).tolist() == history[:place]
            assert shop.target(user, split) == history[place]
        rows = shop.interactions[shop.interactions["user"] == user]
        assert rows["split"].tolist() == ["train"] * (len(history) - 2) + ["valid", "test"]
        assert rows["timestamp"].is_monotonic_increasing


def test_users_too_short_to_split_are_dropped_and_counted(tmp_path: Path) -> None:
    raw = raw_histories({"long": "abcd", "short": "abe"})
    dataset = Dataset.load(build_dataset(raw, tmp_path / "out"))
    assert dataset.users["raw_id"].tolist() == ["long"]
    assert sorted(dataset.items["raw_id"]) == ["a", "b", "c", "d"]  # nobody is left who bought e
    assert [(drop.what, drop.count) for drop in dataset.manifest.drops if drop.what != "image"] == [
        ("user", 1),
        ("interaction", 3),
        ("item", 1),
    ]


def test_a_source_in_which_nobody_can_be_split_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no user with at least 4 interactions"):
        build_dataset(raw_histories({"a": "xyz", "b": "xy"}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
