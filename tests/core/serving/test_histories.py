"""Tables of histories: what is read, what is left out and told, what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.serving import histories_of, number_histories, read_histories, read_users


def test_histories_of_a_dataset_come_back_as_its_numbers(shop: Dataset) -> None:
    read = number_histories(histories_of(shop), shop)
    assert read.users == shop.users["raw_id"].tolist()
    assert all((items == shop.history(user)).all() for user, items in enumerate(read.items, start=1))
    assert read.remarks == []


def test_rows_are_sorted_by_time_within_each_user_and_ties_keep_their_order(shop: Dataset) -> None:
    first, second, third = shop.items["raw_id"].head(3)
    table = pd.DataFrame(
        {
            "user": ["b", "a", "b", "b"],
            "item": [first, first, second, third],
            "time": ["2024-01-02", "2024-01-01", "2024-01-01", "2024-01-01"],
        }
    )
    read = number_histories(table, shop)
    assert read.users == ["b", "a"]
    assert [items.tolist() for items in read.items] == [[2, 3, 1], [1]]


def test_unknown_items_are_left_out_and_told(shop: Dataset) -> None:
    known = shop.items["raw_id"].iloc[0]
    table = pd.DataFrame({"user": ["a", "a", "b", "c"], "item": ["x", known, "x", "y"]})
    read = number_histories(table, shop)
    assert (read.users, [items.tolist() for items in read.items]) == (["a"], [[1]])
    assert read.remarks == [
        "3 interactions with 2 items that the model does not know were left out: 'x', 'y'",
        "2 users without an item that the model knows get no list: 'b', 'c'",
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user": ["a"], "thing": ["b"]}, "no column 'item': they have user, thing"),
        ({"user": ["a", None], "item": ["b", "c"]}, "row 2 has no user or no item"),
        ({"user": ["a"], "item": ["b"], "time": [None]}, "row 1 has no time"),
        ({"user": ["a"], "item": ["b"], "time": ["2024-13-45"]}, "row 1 has an unreadable time, '2024-13-45'"),
        ({"user": ["a"], "item": [["b"]]}, "column 'item' has the type list"),
        ({"user": ["a", 1], "item": ["b", "c"]}, "column 'user': must be text or numbers"),
    ],
)
def test_what_cannot_be_a_history_is_refused(shop: Dataset, table: dict[str, list], message: str) -> None:
    with pytest.raises(UserError, match=message):
        number_histories(pd.DataFrame(table), shop)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_tables_of_all_formats_are_read_and_keep_leading_zeros(tmp_path: Path, ending: str) -> None:
    table = pd.DataFrame({"user": ["007", "008"], "item": ["0", "00"]})
    file = tmp_path / f"histories{ending}"
    match ending:
        case ".parquet":
            table.to_parquet(file)
        case ".jsonl":
            table.to_json(file, orient="records", lines=True)
        case _:
            table.to_csv(file, index=False, sep="\t" if ending == ".tsv" else ",")
    assert read_histories(file).astype(str).to_dict("list") == table.to_dict("list")
    assert read_users(file) == ["007", "008"]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_ids_that_look_missing_are_ids(tmp_path: Path, ending: str) -> None:
    table = pd.DataFrame({"user": ["NA", "null", "None"], "item": ["nan", "", "NULL"]})
    file = tmp_path / f"histories{ending}"
    if ending == ".jsonl":
        table.to_json(file, orient="records", lines=True)
    else:
        table.to_csv(file, index=False, sep="\t" if ending == ".tsv" else ",")
    assert read_users(file) == ["NA", "null", "None"]
    read = read_histories(file)
    assert read["item"].fillna("").tolist() == ["nan", "", "NULL"]
    if ending != ".jsonl":
        assert read["item"].isna().tolist() == [False, True, False]


def test_users_are_lines_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("a\n\n b \na\n", "utf-8")
    assert read_users(tmp_path / "users.txt") == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.csv", None, "--users '.*' cannot be read"),
        ("users.doc", "a", "its name must end in .csv, .tsv, .jsonl, .parquet"),
        ("users.csv", "name\na\n", "has no column 'user': it has name"),
        ("users.txt", "\n", "names no user"),
        ("users.parquet", "no table", "cannot be read"),
    ],
)
def test_files_that_name_no_users_are_refused(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(UserError, match=message):
        read_users(tmp_path / name)
