"""What is held out under each scheme, and what a model may see when it predicts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw import raw_histories, raw_times

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.split import find_targets, leave_one_out, split_at, time_points
from vip5core.errors import UserError

BY_TIME = BuildOptions(split="time", held_out=0.2)

#: Fourteen interactions, of which three are at 20 or later, and three from 10 to 19.
TIMES = {
    "all": {"a": 1, "b": 2, "c": 10, "d": 11, "e": 20, "f": 21},  # the new items e and f are held out
    "train": {"a": 1, "b": 2, "c": 3},
    "late": {"c": 12, "a": 20},  # nothing to train on, but a history for the test
    "first": {"a": 4, "b": 5, "c": 6},
}


def dataset_by_time(folder: Path, times: Mapping[str, Mapping[str, int]] = TIMES) -> Dataset:
    return Dataset.load(build_dataset(raw_times(times), folder / "out", BY_TIME))


def test_the_last_interaction_is_tested_and_the_one_before_validated() -> None:
    table = pd.DataFrame({"user": ["a"] * 4 + ["b"] * 5, "position": [*range(4), *range(5)]})
    assert leave_one_out(table).tolist() == [
        *("train", "train", "valid", "test"),
        *("train", "train", "train", "valid", "test"),
    ]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.sampled_from([0.05, 0.1, 0.25, 0.45]))
def test_points_in_time_part_all_interactions_by_their_share(times: list[int], held_out: float) -> None:
    table = pd.Series(times)
    try:
        points = time_points(table, held_out)
    except UserError:
        assert table.value_counts().max() >= len(times) * min(held_out, 1 - 2 * held_out)
        return
    split = split_at(table, points)
    assert {"train", "valid", "test"} == set(split)
    assert table[split == "train"].max() < points[0] <= table[split == "valid"].min()
    assert table[split == "valid"].max() < points[1] <= table[split == "test"].min()
    # Those of one second are on one side, so that a part may be larger, but only by as many as there are.
    excess = (split == "test").sum() - held_out * len(times)
    assert -0.5 <= excess <= 0.5 + (table == points[1]).sum()


def test_the_first_row_of_a_held_out_split_with_something_before_it_is_asked_for() -> None:
    splits = ["train", "valid", "valid", "test", "test", "train", "test", "test", "valid", "test"]
    table = pd.DataFrame({"user": [1] * 5 + [2] + [3] * 4, "position": [*range(5), 0, *range(4)], "split": splits})
    assert find_targets(table, "valid").tolist() == [1, 8]
    assert find_targets(table, "test").tolist() == [3]  # user 3 has nothing before the first


def test_what_comes_before_the_target_may_be_shown_and_nothing_else(shop: Dataset) -> None:
    for split in ("valid", "test"):
        assert shop.asked_users(split).tolist() == [*range(1, shop.n_users + 1)]
    for user in range(1, shop.n_users + 1):
        history = shop.history(user).tolist()
        assert shop.training_history(user).tolist() == history[:-2]
        for split, place in (("valid", len(history) - 2), ("test", len(history) - 1)):
            assert shop.before(user, split).tolist() == history[:place]
            assert shop.target(user, split) == history[place]
        rows = shop.interactions[shop.interactions["user"] == user]
        assert rows["split"].tolist() == ["train"] * (len(history) - 2) + ["valid", "test"]
        assert rows["timestamp"].is_monotonic_increasing


def test_by_time_everybody_is_split_at_the_same_points(tmp_path: Path) -> None:
    dataset = dataset_by_time(tmp_path)
    number = dict(zip(dataset.users["raw_id"], dataset.users["user"], strict=True))
    raw = dataset.items.set_index("item")["raw_id"]

    def asked(user: str, split: str) -> tuple[str, str]:
        shown = "".join(raw[item] for item in dataset.before(number[user], split))
        return shown, str(raw[dataset.target(number[user], split)])

    assert dataset.asked_users("valid").tolist() == [number["all"]]
    assert set(dataset.asked_users("test")) == {number["all"], number["late"]}
    assert asked("all", "valid") == ("ab", "c")
    assert asked("all", "test") == ("abcd", "e")
    assert asked("late", "test") == ("c", "a")
    assert "".join(raw[item] for item in dataset.training_history(number["all"])) == "ab"
    assert len(dataset.training_history(number["late"])) == 0
    lists = dataset.candidate_lists
    assert set(zip(lists["user"], lists["split"], strict=True)) == {
        *((number["all"], split) for split in ("valid", "test")),
        (number["late"], "test"),
    }
    for user in ("all", "late"):
        chosen = set(dataset.candidates(number[user], "test"))
        assert chosen & set(dataset.history(number[user])) == {dataset.target(number[user], "test")}


def test_what_training_has_not_seen_is_told(tmp_path: Path) -> None:
    manifest = dataset_by_time(tmp_path).manifest
    assert (manifest.split, manifest.held_out) == ("time", 0.2)
    valid, test = (manifest.held_out_splits[split] for split in ("valid", "test"))
    assert (valid.begins, valid.interactions, valid.asked) == (10, 3, 1)
    assert (valid.new_users, valid.new_items, valid.without_history) == (0, 0, 1)
    assert (test.begins, test.interactions, test.asked) == (20, 3, 2)
    assert (test.new_users, test.new_items, test.without_history) == (1, 1, 0)
    assert (manifest.counts["users_in_training"], manifest.counts["items_in_training"]) == (3, 3)
    assert (manifest.counts["users"], manifest.counts["items"]) == (4, 6)


def test_the_same_source_split_otherwise_is_another_dataset(tmp_path: Path) -> None:
    once = Dataset.load(build_dataset(raw_times(TIMES), tmp_path / "loo", BuildOptions(repeats="keep")))
    assert once.fingerprint != dataset_by_time(tmp_path).fingerprint
    assert once.manifest.held_out_splits["test"].begins is None


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"u": dict.fromkeys("abcdef", 7)}, "at 1 different times cannot be parted"),
        ({f"u{n}": dict.fromkeys("ab", n) for n in range(10)}, "no user with an interaction in the valid split"),
        ({f"u{n}": {"a": n, "b": 50 if n < 6 else 60} for n in range(10)}, "no user has two interactions in training"),
    ],
)
def test_a_source_that_time_cannot_split_is_rejected(
    times: Mapping[str, Mapping[str, int]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"^split=time: .*{message}"):
        dataset_by_time(tmp_path, times)
    assert list(tmp_path.iterdir()) == []


def test_a_source_without_times_cannot_be_split_by_time(tmp_path: Path) -> None:
    raw = raw_histories({"u": "abcdefghij"})
    raw.has_times = False
    with pytest.raises(UserError, match=r"'by hand' has an order but no times: use split=leave-one-out"):
        build_dataset(raw, tmp_path / "out", BuildOptions(split="time"))


@pytest.mark.parametrize("share", [0.0, 0.5, -1.0, float("nan")])
def test_a_share_that_leaves_nothing_is_rejected(share: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"held_out=.*: must be above 0 and below 0\.5"):
        build_dataset(raw_times(TIMES), tmp_path / "out", BuildOptions(split="time", held_out=share))


@pytest.mark.parametrize(
    ("options", "fewest", "kept"), [(BuildOptions(), 4, "abcd"), (BY_TIME, 2, "abcde")], ids=["loo", "time"]
)
def test_users_too_short_to_split_are_dropped_and_counted(
    options: BuildOptions, fewest: int, kept: Sequence[str], tmp_path: Path
) -> None:
    raw = raw_histories({"long": "abcd", "short": "abe", "shortest": "f"})
    dataset = Dataset.load(build_dataset(raw, tmp_path / "out", options))
    assert sorted(dataset.items["raw_id"]) == [*kept]
    drops = {drop.what: drop for drop in dataset.manifest.drops}
    assert drops["user"].count == 3 - dataset.n_users == sum(len(bought) < fewest for bought in ("abcd", "abe", "f"))
    assert f"fewer than {fewest} interactions" in drops["user"].reason
    assert drops["item"].count == 6 - len(kept)


def test_a_source_in_which_nobody_can_be_split_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no user with at least 4 interactions"):
        build_dataset(raw_histories({"a": "xyz", "b": "xy"}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_whose_splits_are_out_of_order_is_rejected(shop: Dataset) -> None:
    from vip5core.data.dataset import _find_inconsistency

    swapped = shop.interactions.copy()
    swapped.loc[[0, 1], "split"] = ["valid", "train"]
    broken = Dataset(
        shop.folder, shop.manifest, shop.items, shop.users, swapped, shop.explanations, shop.candidate_lists
    )
    assert _find_inconsistency(broken) == "a history is not in the order training, validation, test"
    assert np.array_equal(shop.interactions["position"], broken.interactions["position"])
