"""Which interactions are kept, by rules that are simple enough to be written a second time here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.raw import raw_histories

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.filters import Repeats, drop_duplicates, drop_short_users, k_core, resolve_repeats
from vip5core.data.raw import Drop, DropLedger
from vip5core.errors import UserError

Row = tuple[str, str, int]

rows_of_few = st.lists(st.tuples(st.sampled_from("uvwxy"), st.sampled_from("abcde"), st.integers(0, 3)), max_size=30)


def table(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["user", "item", "timestamp"]).assign(rating=5.0, row=range(len(rows)))


def rows_of(interactions: pd.DataFrame) -> list[Row]:
    assert interactions.index.tolist() == list(range(len(interactions)))
    return list(interactions[["user", "item", "timestamp"]].itertuples(index=False, name=None))


def only_drop(ledger: DropLedger) -> Drop:
    (drop,) = ledger.drops()
    return drop


def naive_core(rows: Sequence[Row], k: int) -> list[Row]:
    """Take one row away that does not belong, until all belong."""
    kept = list(rows)
    while True:
        users, items = Counter(user for user, _, _ in kept), Counter(item for _, item, _ in kept)
        outside = [n for n, (user, item, _) in enumerate(kept) if users[user] < k or items[item] < k]
        if not outside:
            return kept
        del kept[outside[0]]


def test_of_duplicates_the_first_row_is_kept() -> None:
    rows = table([("u", "a", 1), ("u", "b", 1), ("u", "a", 1), ("v", "a", 1), ("u", "a", 2), ("u", "a", 1)])
    ledger = DropLedger()
    kept = drop_duplicates(rows, ledger)
    assert rows_of(kept) == [("u", "a", 1), ("u", "b", 1), ("v", "a", 1), ("u", "a", 2)]
    assert kept["row"].tolist() == [0, 1, 3, 4]
    drop = only_drop(ledger)
    assert (drop.what, drop.count, drop.examples) == ("interaction", 2, ["user u, item a"])
    assert "duplicates=drop" in drop.reason


@pytest.mark.parametrize(("keep", "kept"), [("first", [1, 2, 4, 5]), ("last", [0, 2, 3, 5]), ("keep", [*range(6)])])
def test_of_repeats_the_first_or_the_last_in_time_stays_wherever_it_stands(keep: Repeats, kept: list[int]) -> None:
    rows = [("u", "a", 9), ("u", "a", 1), ("u", "b", 5), ("v", "b", 7), ("v", "b", 6), ("v", "a", 1)]
    ledger = DropLedger()
    assert resolve_repeats(table(rows), keep, ledger)["row"].tolist() == kept
    if keep == "keep":
        assert ledger.drops() == []
    else:
        drop = only_drop(ledger)
        assert drop.count == 2
        assert f"repeats={keep}" in drop.reason
        assert drop.examples == ["user u, item a"]


@pytest.mark.parametrize(("keep", "kept"), [("first", [0]), ("last", [2])])
def test_of_repeats_at_the_same_time_the_order_of_the_source_decides(keep: Repeats, kept: list[int]) -> None:
    same = table([("u", "a", 1), ("u", "a", 1), ("u", "a", 1)])
    assert resolve_repeats(same, keep, DropLedger())["row"].tolist() == kept


@pytest.mark.slow
@given(rows_of_few)
def test_what_is_dropped_is_counted(rows: list[Row]) -> None:
    for keep in ("first", "last"):
        ledger = DropLedger()
        once = drop_duplicates(table(rows), ledger)
        assert len(once) == len(set(rows))
        kept = resolve_repeats(once, keep, ledger)  # type: ignore[arg-type]
        pairs = {(user, item) for user, item, _ in rows}
        assert len(kept) == len(pairs)
        best = min if keep == "first" else max
        times = {pair: best(time for *of, time in rows if tuple(of) == pair) for pair in pairs}
        assert {(user, item): time for user, item, time in rows_of(kept)} == times
        assert sum(drop.count for drop in ledger.drops()) == len(rows) - len(kept)
        assert kept["row"].is_monotonic_increasing


@pytest.mark.slow
@given(rows_of_few, st.integers(0, 4))
def test_the_core_is_the_largest_part_that_is_dense(rows: list[Row], k: int) -> None:
    ledger = DropLedger()
    kept = k_core(table(rows), k, ledger)
    assert rows_of(kept) == (naive_core(rows, k) if k > 1 else rows)
    assert sum(drop.count for drop in ledger.drops()) == len(rows) - len(kept)


def test_a_core_is_found_although_it_takes_many_rounds() -> None:
    chain = [("u" + str(n), "i" + str(n + step), n) for n in range(200) for step in (0, 1)]
    ring = [("v" + str(n), "j" + str((n + step) % 5), n) for n in range(5) for step in (0, 1)]
    ledger = DropLedger()
    assert rows_of(k_core(table(chain + ring), 2, ledger)) == ring
    drop = only_drop(ledger)
    assert (drop.count, drop.examples) == (400, ["user u0, item i0"])
    assert "k_core=2" in drop.reason


def test_users_too_short_to_be_split_are_counted_as_users() -> None:
    rows = [("u", item, n) for n, item in enumerate("abcd")] + [("v", item, n) for n, item in enumerate("abc")]
    ledger = DropLedger()
    assert set(drop_short_users(table(rows), 4, ledger)["user"]) == {"u"}
    users, interactions = ledger.drops()
    assert (users.what, users.count, interactions.what, interactions.count) == ("user", 1, "interaction", 3)
    assert "fewer than 4 interactions" in users.reason


def test_the_options_of_a_build_choose_the_filters_and_the_manifest_counts_them(tmp_path: Path) -> None:
    histories = {f"u{n}": "abcdefab" for n in range(3)} | {"v": "abcz", "w": "ab"}
    built = {}
    for name, options in {
        "first": BuildOptions(),
        "last": BuildOptions(repeats="last"),
        "keep": BuildOptions(repeats="keep"),
        "core": BuildOptions(k_core=3),
    }.items():
        dataset = Dataset.load(build_dataset(raw_histories(histories), tmp_path / name, options))
        raw_id = dataset.items.set_index("item")["raw_id"]
        built[name] = ["".join(raw_id[dataset.history(user)]) for user in range(1, dataset.n_users + 1)]
        manifest = dataset.manifest
        assert (manifest.k_core, manifest.repeats) == (options.k_core, options.repeats)
        dropped = sum(drop.count for drop in manifest.drops if drop.what == "interaction")
        assert manifest.counts["interactions_in_source"] == 30
        assert manifest.counts["interactions"] == 30 - dropped
    assert built["first"] == ["abcdef"] * 3 + ["abcz"]
    assert built["last"] == ["cdefab"] * 3 + ["abcz"]
    assert built["keep"] == ["abcdefab"] * 3 + ["abcz"]
    assert built["core"] == ["abcdef"] * 3


def test_a_source_without_a_core_is_rejected_and_leaves_nothing(tmp_path: Path) -> None:
    histories = {user: user + "123456" for user in "uvw"}
    with pytest.raises(UserError, match=r"no user with at least 4 interactions in its 5-core, .* \(k_core=0\)"):
        build_dataset(raw_histories(histories), tmp_path / "out", BuildOptions(k_core=5))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BuildOptions(k_core=-1), "k_core=-1"),
        (BuildOptions(repeats="frist"), "unknown repeats 'frist': did you mean 'first'"),  # type: ignore[arg-type]
        (BuildOptions(duplicates="dorp"), "unknown duplicates 'dorp': did you mean 'drop'"),  # type: ignore[arg-type]
    ],
)
def test_an_unknown_option_value_is_rejected(options: BuildOptions, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        build_dataset(raw_histories({"u": "abcd"}), tmp_path / "out", options)
    assert list(tmp_path.iterdir()) == []


def test_users_too_short_to_split_leave_a_core_behind(tmp_path: Path) -> None:
    histories = {"short": ["p", "q", "a"], "other": ["p", "a", "b", "c"], "third": ["a", "b", "c", "d"]}
    histories |= {f"u{n}": ["a", "b", "c", "d"] for n in range(2)} | {"last": ["q", "a", "b"]}
    dataset = Dataset.load(build_dataset(raw_histories(histories), tmp_path / "out", BuildOptions(k_core=2)))
    assert set(dataset.items["raw_id"]) == {"a", "b", "c", "d"}  # p and q had their second from users who went
    assert dataset.interactions.groupby("item").size().min() >= 2
    dropped = sum(drop.count for drop in dataset.manifest.drops if drop.what == "interaction")
    assert dataset.manifest.counts["interactions_in_source"] - dropped == len(dataset.interactions)
