"""The order of interactions at the same time says nothing, and what it said in the source is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.raw import raw_histories, raw_times

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.describe import describe
from vip5core.data.sources import options_of, prepare
from vip5core.data.ties import TieOrder, measure_tie_order, tie_places, with_positions
from vip5core.errors import UserError
from vip5core.home import Home

#: Users whose last two interactions are tied, in ascending order in the source.
TIED = {f"u{n}": {"a": 1, "b": 2, f"x{n}": 9, f"y{n}": 9} for n in range(40)}


def dataset_of(folder: Path, options: BuildOptions) -> Dataset:
    return Dataset.load(build_dataset(raw_times(TIED), folder, options))


def test_items(dataset: Dataset) -> list[str]:
    raw = dataset.items.set_index("item")["raw_id"]
    return [raw[dataset.target(user, "test")] for user in dataset.asked_users("test")]


test_items.__test__ = False  # type: ignore[attr-defined]


def table(rows: list[tuple[str, str, int]], **columns: list[int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user", "item", "timestamp"]).assign(**{"fraction": 0, **columns})


def test_rows_are_in_order_of_user_time_and_place() -> None:
    rows = [("b", "p", 5), ("a", "q", 9), ("a", "r", 1), ("b", "s", 5), ("a", "t", 1), ("a", "u", 1)]
    ordered = with_positions(table(rows, place=[5, 4, 3, 2, 1, 0], fraction=[0, 0, 0, 0, 0, 7]))
    assert "".join(ordered["item"]) == "truqsp"
    assert ordered["position"].tolist() == [0, 1, 2, 3, 0, 1]
    assert ordered["tied"].tolist() == [True, True, False, False, True, True]


def test_places_are_those_of_the_file_or_seeded() -> None:
    assert tie_places(5, "file", 3).tolist() == [0, 1, 2, 3, 4]
    one, again, other = (tie_places(100, "shuffle", seed).tolist() for seed in (3, 3, 4))
    assert one == again != other
    assert sorted(one) == [*range(100)] != one


def test_shuffled_ties_make_either_item_the_last_one(tmp_path: Path) -> None:
    as_in_file = test_items(dataset_of(tmp_path / "file", BuildOptions(ties="file")))
    assert as_in_file == [f"y{user[1:]}" for user in TIED]
    shuffled = dataset_of(tmp_path / "shuffled", BuildOptions())
    assert 10 < sum(item.startswith("y") for item in test_items(shuffled)) < 30
    assert (shuffled.interactions["timestamp"].groupby(shuffled.interactions["user"]).diff().dropna() >= 0).all()


@pytest.mark.slow
def test_the_order_of_ties_is_part_of_the_identity(tmp_path: Path) -> None:
    options = [BuildOptions(), BuildOptions(ties="file"), BuildOptions(seed=1)]
    datasets = [dataset_of(tmp_path / str(n), given) for n, given in enumerate([*options, BuildOptions()])]
    *different, again = (dataset.fingerprint for dataset in datasets)
    assert len(set(different)) == 3
    assert again == different[0]
    assert [(dataset.manifest.ties, dataset.manifest.seed) for dataset in datasets[:3]] == [
        ("shuffle", 0),
        ("file", 0),
        ("shuffle", 1),
    ]


@pytest.mark.slow
def test_prepared_datasets_with_other_ties_or_splits_lie_in_other_folders(tmp_path: Path) -> None:
    home = Home(tmp_path)
    given: list[dict[str, str]] = [{}, {"ties": "file"}, {"split": "time"}]
    folders = [prepare("minimart:30", None, home, options_of("minimart:30", **of)) for of in given]
    assert len(set(folders)) == 3
    assert [Dataset.load(folder).manifest.split for folder in folders] == ["leave-one-out", "leave-one-out", "time"]


def test_how_far_the_source_followed_the_ids_is_known_however_ties_are_ordered(tmp_path: Path) -> None:
    for ties in ("file", "shuffle"):
        dataset = dataset_of(tmp_path / ties, BuildOptions(ties=ties))  # type: ignore[arg-type]
        assert dataset.manifest.tie_order == TieOrder(pairs=40, ascending=40, ends=40, ends_ascending=40)
        assert describe(dataset).tied_ends.p_value < 1e-11


def test_pairs_are_neighbours_at_the_same_time() -> None:
    rows = [
        *(("u", item, 1) for item in "acb"),
        *(("u", item, 2) for item in "ee"),  # no pair: the same item twice
        *(("v", item, 1) for item in "ba"),
    ]
    assert measure_tie_order(table(rows), True) == TieOrder(pairs=3, ascending=1, ends=1, ends_ascending=0)
    apart = table(rows, fraction=[0, 1, 1, 0, 0, 0, 5])
    assert measure_tie_order(apart, True) == TieOrder(pairs=1, ascending=0, ends=0, ends_ascending=0)
    everywhere = TieOrder(pairs=4, ascending=2, ends=1, ends_ascending=0)
    assert measure_tie_order(table(rows).assign(timestamp=[0, 1, 2, 3, 4, 0, 1]), False) == everywhere


@pytest.mark.parametrize(("items", "ascending"), [(("9", "10"), 1), (("B9", "B10"), 0)])
def test_ids_that_are_numbers_are_in_the_order_of_numbers(items: tuple[str, str], ascending: int) -> None:
    rows = [("u", item, 1) for item in items]
    assert measure_tie_order(table(rows), True).ascending == ascending


def test_a_source_without_times_has_nothing_to_shuffle(tmp_path: Path) -> None:
    datasets = []
    for ties in ("file", "shuffle"):
        raw = raw_histories({"u": "abcde", "v": "edcba"})
        raw.has_times = False
        options = BuildOptions(ties=ties)  # type: ignore[arg-type]
        datasets.append(Dataset.load(build_dataset(raw, tmp_path / ties, options)))
    assert datasets[0].fingerprint == datasets[1].fingerprint
    assert datasets[0].manifest.tie_order == TieOrder(pairs=8, ascending=4, ends=2, ends_ascending=1)
    assert [held_out.tied for held_out in datasets[1].manifest.held_out_splits.values()] == [0, 0]


def test_interactions_within_a_second_are_tied_only_if_the_source_has_no_finer_times(tmp_path: Path) -> None:
    raw = raw_times(TIED)
    raw.interactions["fraction"] = np.arange(len(raw.interactions)) % 4
    dataset = Dataset.load(build_dataset(raw, tmp_path / "out"))
    assert all(item.startswith("y") for item in test_items(dataset))
    assert dataset.manifest.tie_order.pairs == 0


def test_unknown_ties_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown ties 'shufle': did you mean 'shuffle'"):
        dataset_of(tmp_path / "out", dataclasses.replace(BuildOptions(), ties="shufle"))  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_gift_cards_came_in_the_order_of_their_codes(real_data: Path, tmp_path: Path) -> None:
    options = options_of("amazon-2018")
    folder = prepare("amazon-2018", real_data / "amazon2018-gift-cards", Home(tmp_path), options)
    assert Dataset.load(folder).manifest.tie_order == TieOrder(pairs=1715, ascending=1536, ends=289, ends_ascending=252)
