"""A user's own tables: every way of writing the same data gives the same dataset, and no row is lost silently."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mutation import EXAMPLES, edits, prepares_or_explains, write_files

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.raw import RawData, ReadRequest
from vip5core.data.readers.movielens import read_movielens_100k
from vip5core.data.readers.tables import files as tables_files
from vip5core.data.readers.tables import read_tables
from vip5core.errors import UserError

pytestmark = pytest.mark.slow

NOON = 1_617_451_200  # 2021-04-03 12:00 UTC
USERS = [f"00{number}" for number in range(1, 6)]
ITEMS = [f"0{number}" for number in range(10, 20)]
#: Seconds after noon: the second and third event in one second, the later one first in the file.
SECONDS = [0.0, 60.75, 60.25, 7200.0, 7200.5]


def bought(user: int) -> list[str]:
    """The items of a user, in the order of the file; in order of time, the second and third change places."""
    return [ITEMS[(2 * user + 3 * step) % len(ITEMS)] for step in range(5)]


def in_time(user: int) -> list[str]:
    items = bought(user)
    return [items[place] for place in (0, 2, 1, 3, 4)]


def orders(**columns: object) -> pd.DataFrame:
    """Interactions: user, item, rating, time as text of seconds; or other columns in place of these."""
    rows = [(user, item) for number, user in enumerate(USERS) for item in bought(number)]
    times = [f"{NOON + seconds:.2f}" for _ in USERS for seconds in SECONDS]
    plain = {"user": [u for u, _ in rows], "item": [i for _, i in rows], "time": times, "rating": ["4"] * len(rows)}
    return pd.DataFrame({name: values for name, values in {**plain, **columns}.items() if values is not None})


def products() -> pd.DataFrame:
    names = [f"Lamp, “{item}”" for item in ITEMS]
    return pd.DataFrame({"item": ITEMS, "title": names, "description": "bright", "categories": "Light | Home;Sale"})


def reasons() -> pd.DataFrame:
    """One of each user, about what was bought first."""
    rows = [(user, bought(number)[0], f"because {user}", "colour") for number, user in enumerate(USERS)]
    return pd.DataFrame(rows, columns=["user", "item", "explanation", "aspect"])


def write(frame: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if ".tsv" in path.name else ",", index=False)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The three tables in CSV."""
    folder = tmp_path / "source"
    for name, frame in (("interactions", orders()), ("items", products()), ("explanations", reasons())):
        write(frame, folder / f"{name}.csv")
    return folder


def read(source: Path) -> RawData:
    return read_tables(ReadRequest("tables", folder=source))


def build(source: Path, **options: object) -> Dataset:
    out = source.parent / f"out{len(list(source.parent.iterdir()))}"
    return Dataset.load(build_dataset(read(source), out, BuildOptions(candidates=5, **options)))


def histories(dataset: Dataset) -> dict[str, list[str]]:
    """Raw user id to raw item ids in time order."""
    raw_ids = dataset.items["raw_id"].to_numpy()
    return {
        raw_id: list(raw_ids[dataset.history(user) - 1])
        for user, raw_id in zip(dataset.users["user"], dataset.users["raw_id"], strict=True)
    }


def expected() -> dict[str, list[str]]:
    return {user: in_time(number) for number, user in enumerate(USERS)}


def drops(dataset: Dataset, what: str) -> dict[str, tuple[int, list[str]]]:
    """Reason to count and examples."""
    return {drop.reason: (drop.count, drop.examples) for drop in dataset.manifest.drops if drop.what == what}


def refusal(source: Path) -> str:
    with pytest.raises(UserError) as caught:
        build(source)
    assert "\n" not in str(caught.value)
    assert not [path for path in source.parent.iterdir() if path != source]
    return str(caught.value)


def test_three_tables_with_the_names_of_the_convention_need_no_mapping(source: Path) -> None:
    dataset = build(source)
    assert dataset.name == "tables"
    assert histories(dataset) == expected()
    assert set(dataset.interactions["rating"]) == {4.0}
    lamp = dataset.items.set_index("raw_id").loc["012"]
    assert (lamp["title"], lamp["description"]) == ("Lamp, “012”", "bright")
    assert list(lamp["categories"]) == ["Light", "Home", "Sale"]
    assert dataset.explanations["explanation"].tolist() == [f"because {user}" for user in USERS]
    assert set(dataset.explanations["split"]) == {"train"}
    assert set(dataset.explanations["aspect"]) == {"colour"}
    assert set(dataset.explanations["rating"]) == {4.0}  # that of the interaction
    assert [drop.what for drop in dataset.manifest.drops] == ["image"]


@pytest.mark.parametrize("ending", [".tsv", ".parquet", ".csv.gz"])
def test_every_kind_of_file_gives_the_same_dataset(ending: str, source: Path) -> None:
    other = source.parent / "other"
    for name in ("interactions", "items", "explanations"):
        write(pd.read_csv(source / f"{name}.csv", dtype=str), other / f"{name}{ending}")
    assert build(other).fingerprint == build(source).fingerprint


def test_a_mapping_says_which_columns_hold_what(source: Path, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    names = {"user": "customer", "item": "sku", "time": "bought_at", "rating": "stars"}
    write(orders().rename(columns=names), shop / "sales" / "orders.csv")
    names = {"item": "sku", "title": "no", "description": "2021"}
    write(products().rename(columns=names), shop / "products.parquet")
    write(reasons().rename(columns={"user": "customer", "item": "sku", "explanation": "reason"}), shop / "why.tsv")
    (shop / "columns.yaml").write_text(
        "name: my-shop\n"
        "interactions: {file: sales/orders.csv, user: customer, item: sku, time: bought_at, rating: stars}\n"
        "items: {file: products.parquet, item: sku, title: no, description: 2021}\n"
        "explanations: {file: why.tsv, user: customer, item: sku, explanation: reason}\n"
    )
    dataset = build(shop)
    assert dataset.name == "my-shop"
    assert dataset.fingerprint == build(source).fingerprint


def test_interactions_alone_are_enough(source: Path) -> None:
    (source / "items.csv").unlink()
    (source / "explanations.csv").unlink()
    dataset = build(source)
    assert histories(dataset) == expected()
    assert len(dataset.explanations) == 0
    assert dataset.manifest.counts["items_with_title"] == 0


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([12, None, 7, 2**53 + 1], pa.int64()),
        pa.array(["12", " ", " 7 ", str(2**53 + 1)]),
        pa.array([b"12", None, b"7", str(2**53 + 1).encode()]),
        pa.array(["12", None, "7", str(2**53 + 1)]).dictionary_encode(),
        pa.array([decimal.Decimal(12), None, decimal.Decimal(7), decimal.Decimal(2**53 + 1)], pa.decimal128(38, 0)),
    ],
    ids=["integers", "text", "binary", "dictionary", "decimals"],
)
def test_ids_are_text_whatever_the_type_of_the_column(ids: pa.Array, tmp_path: Path) -> None:
    rows = pa.table({"user": pa.array(["u"] * 16), "item": pa.chunked_array([ids.take(pa.array([0, 1, 2, 3] * 4))])})
    (tmp_path / "source").mkdir()
    pq.write_table(rows, tmp_path / "source" / "interactions.parquet")
    dataset = build(tmp_path / "source", repeats="keep")
    assert histories(dataset)["u"][:3] == ["12", "7", "9007199254740993"]
    assert drops(dataset, "interaction")["no item"] == (4, [f"interactions.parquet row {n}" for n in (2, 6, 10, 14)])


def test_whole_numbers_of_a_column_with_gaps_lose_their_point(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": [1.0] * 5 + [None, 2.5], "item": [12.0, 7.0, 1e15, -0.0, 2.5, 1.0, 1.0]})
    write(frame, tmp_path / "source" / "interactions.parquet")
    assert histories(build(tmp_path / "source")) == {"1": ["12", "7", "1000000000000000", "0", "2.5"]}


def moments() -> list[datetime.datetime]:
    noon = datetime.datetime(2021, 4, 3, 12, tzinfo=datetime.UTC)
    return [noon + datetime.timedelta(seconds=seconds) for _ in USERS for seconds in SECONDS]


TIMES: dict[str, Callable[[datetime.datetime], object]] = {
    "seconds": lambda m: m.timestamp(),
    "milliseconds": lambda m: int(m.timestamp() * 1e3),
    "microseconds": lambda m: int(m.timestamp() * 1e6),
    "nanoseconds": lambda m: int(m.timestamp() * 100) * 10**7,
    "text of milliseconds": lambda m: f"{m.timestamp() * 1e3:.0f}",
    "text with an exponent": lambda m: f"{m.timestamp():.12e}",
    "ISO with Z": lambda m: m.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "ISO without a zone": lambda m: m.strftime("%Y-%m-%d %H:%M:%S.%f"),
    "ISO with a comma and UTC": lambda m: m.strftime("%Y-%m-%d %H:%M:%S,%f UTC"),
    "ISO elsewhere": lambda m: m.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30))).isoformat(),
    "timestamp": lambda m: m.replace(tzinfo=None),
    "timestamp with a zone": lambda m: pd.Timestamp(m).tz_convert("America/New_York"),
}


@pytest.mark.parametrize("way", TIMES)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_every_way_of_writing_times_gives_the_same_seconds_and_order(way: str, ending: str, tmp_path: Path) -> None:
    written = orders(time=None, timestamp=[TIMES[way](moment) for moment in moments()])
    write(written, tmp_path / "source" / f"interactions{ending}")
    of_user = read(tmp_path / "source").interactions.groupby("user")
    assert of_user["item"].agg(list).to_dict() == expected()
    assert of_user["timestamp"].agg(list).tolist() == [[NOON, NOON + 60, NOON + 60, NOON + 7200, NOON + 7200]] * 5


@pytest.mark.parametrize(
    ("said", "text", "seconds"),
    [
        ("time_unit: ms", "5000", 5),
        ("time_unit: us", "5000000", 5),
        ("time_unit: ns", "5000000000", 5),
        ("time_unit: s", "20210403", 20210403),
        ("time_unit: date", "20210403", 1617408000),
        ("time_format: '%d/%m/%Y'", "03/04/2021", 1617408000),
        ("time_format: '%m/%d/%Y'", "03/04/2021", 1614816000),
        ("time_format: '%Y%m%d', time_unit: date", "20210403", 1617408000),
        ("time_format: '%Y%d%m'", "20210403", 1614816000),
    ],
)
def test_a_mapping_says_how_times_are_written(said: str, text: str, seconds: int, tmp_path: Path) -> None:
    for ending in (".csv", ".parquet"):
        folder = tmp_path / ending
        written = orders(time=[int(text) if text.isdecimal() and ending == ".parquet" else text] * 25)
        write(written, folder / "source" / f"interactions{ending}")
        (folder / "source" / "columns.yaml").write_text(f"interactions: {{{said}}}")
        interactions = read(folder / "source").interactions
        assert set(interactions["timestamp"]) == {seconds}
        assert interactions["item"].tolist()[:5] == bought(0)  # one second, so the order of the file


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("0", 0), ("-86400", -86400), ("99999999999", 99999999999), ("100000000000", 10**8)),
        *(("99999999999999", 99999999999), ("100000000000000", 10**8), ("99999999999999999", 99999999999)),
        *(("100000000000000000", 10**8), ("9223372036854775807", 9223372036)),
    ],
)
def test_the_unit_of_numbers_follows_from_their_magnitude(text: str, seconds: int, tmp_path: Path) -> None:
    write(orders(time=text), tmp_path / "source" / "interactions.csv")
    assert set(read(tmp_path / "source").interactions["timestamp"]) == {seconds}


def test_without_times_the_order_of_the_file_counts(tmp_path: Path) -> None:
    write(orders(time=None).iloc[::-1], tmp_path / "source" / "interactions.csv")
    dataset = build(tmp_path / "source")
    assert histories(dataset) == {user: bought(number)[::-1] for number, user in enumerate(USERS)}
    assert dataset.interactions["timestamp"].tolist() == [0, 1, 2, 3, 4] * len(USERS)


def test_times_that_do_not_fit_the_column_are_dropped_counted_and_located(tmp_path: Path) -> None:
    odd = [str(NOON * 1000), "2021-04-03", "soon", "", "nan", "1e99"]
    times = [str(NOON)] * 19 + odd
    users = ["001"] * 10 + ["002"] * 15
    write(orders(time=times, user=users), tmp_path / "source" / "interactions.csv")
    dataset = build(tmp_path / "source", repeats="keep", duplicates="keep")
    assert len(dataset.interactions) == 19
    assert drops(dataset, "interaction") == {
        "no time": (1, ["interactions.csv line 24"]),
        "unreadable time": (4 - 1, [f"interactions.csv line {n}" for n in (22, 23, 25)]),
        "time in another unit than most of the column": (2, [f"interactions.csv line {n}" for n in (21, 26)]),
    }


def test_if_nobody_is_left_the_error_says_what_was_dropped_and_why(tmp_path: Path) -> None:
    times = [NOON * 1000 ** (place % 5 > 2) for place in range(25)]
    write(orders(time=times), tmp_path / "source" / "interactions.csv")
    error = refusal(tmp_path / "source")
    assert "10 interaction: time in another unit than most of the column (first interactions.csv line 5)" in error
    assert "15 interaction: its user has too few interactions" in error
    assert "check that it is the right file" in error
    assert "k_core" not in error


def test_a_stray_quote_takes_no_row_with_it(source: Path) -> None:
    """One opens and one closes in the ids of interactions, and in the titles of items."""
    (source / "interactions.csv").write_text(
        'time,user,item\n1,a,"i1\n2,a,i2\n3,a,i3\n4,a,i4\n5,a,i5\n6,b,i6"\n7,a,i7\n8,a,i8\n9,b,i1\n'
    )
    (source / "items.csv").write_text('item,title\ni1,"Big\ni2,Lamp\ni3,Small"\ni4,x\ni5,x\ni7,x\ni8,x\n')
    (source / "explanations.csv").unlink()
    raw = read(source)
    rows = [f"{user} {item}" for user, item in zip(raw.interactions["user"], raw.interactions["item"], strict=True)]
    assert rows == ["a i2", "a i3", "a i4", "a i5", 'b i6"', "a i7", "a i8", "b i1"]
    items = raw.details(raw.interactions).items.set_index("raw_id")
    assert (items.loc["i2", "title"], items.loc["i3", "title"], items.loc["i1", "title"]) == ("Lamp", 'Small"', "")
    told = {(drop.what, drop.reason): drop.examples for drop in raw.ledger.drops()}
    assert told[("interaction", "unclosed quote")] == ['interactions.csv line 2: 1,a,"i1']
    assert told[("item", "unclosed quote")] == ['items.csv line 2: i1,"Big']


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_an_id_with_a_line_break_is_none(ending: str, tmp_path: Path) -> None:
    frame = orders()
    frame.loc[25] = ["a\rb", "010", str(NOON), "4"]
    path = write(frame, tmp_path / "source" / f"interactions{ending}")
    if ending == ".csv":
        frame.to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    dataset = build(tmp_path / "source")
    assert histories(dataset) == expected()
    place = {".csv": "interactions.csv line 27", ".parquet": "interactions.parquet row 26"}[ending]
    assert drops(dataset, "interaction") == {"line break in column 'user'": (1, [place])}


def test_ambiguous_dates_are_rejected(tmp_path: Path) -> None:
    write(orders(time="03/04/2021"), tmp_path / "source" / "interactions.csv")
    error = refusal(tmp_path / "source")
    assert "interactions.csv line 2: '03/04/2021' cannot be read as a time: its day and month are ambiguous" in error
    assert "time_format: '%d/%m/%Y'" in error


def test_numbers_that_look_like_dates_are_rejected(tmp_path: Path) -> None:
    write(orders(time="20210403"), tmp_path / "source" / "interactions.csv")
    assert "look like dates (20210403): set time_unit: date" in refusal(tmp_path / "source")


def test_a_column_without_times_is_rejected(tmp_path: Path) -> None:
    write(orders(time="now"), tmp_path / "source" / "interactions.csv")
    error = "'now' cannot be read as a time: write times as numbers or ISO dates"
    assert error in refusal(tmp_path / "source")
    for said in ("time_unit: date", "time_format: '%d/%m/%Y'", "time_unit: s"):
        (tmp_path / "source" / "columns.yaml").write_text(f"interactions: {{{said}}}")
        assert error in refusal(tmp_path / "source")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_is_read_in_chunks_and_none_is_left_out(
    ending: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(orders(user=[*[""] * 3, *orders()["user"][3:]]), source / "interactions.csv")
    write(pd.concat([products(), products()]), source / "items.csv")
    whole = build(source)
    monkeypatch.setattr(tables_files, "_CHUNK_ROWS", 4)
    for name in ("interactions", "items", "explanations"):
        text = source / f"{name}.csv"
        write(pd.read_csv(text, dtype=str, keep_default_na=False), source.parent / "other" / f"{name}{ending}")
    parts = build(source.parent / "other")
    assert parts.fingerprint == whole.fingerprint
    for what in ("interaction", "item", "explanation"):
        counts = [{reason: n for reason, (n, _) in drops(dataset, what).items()} for dataset in (whole, parts)]
        assert counts[0] == counts[1]
    place = {".csv": "line 12", ".parquet": "row 11"}[ending]
    assert drops(parts, "item")["duplicate item: the first row is used"][1][0] == f"items{ending} {place}"
    assert drops(parts, "interaction")["no user"][0] == 3


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us"), pa.timestamp("ms", "UTC"), pa.timestamp("ms", "No/Where"), pa.date64()]
)
def test_timestamps_beyond_the_calendar_are_rejected(kind: pa.DataType, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    rows = pa.Table.from_pandas(orders(time=None)).append_column("time", pa.array([2**60] * 25).cast(kind))
    pq.write_table(rows, tmp_path / "source" / "interactions.parquet")
    assert "row 1: 'outside the years 1 to 9999' cannot be read as a time" in refusal(tmp_path / "source")


def test_ratings_stay_on_their_scale_and_those_missing_are_five(tmp_path: Path) -> None:
    ratings = ["0.5", "", "97", "-3", "good", "4,5", "1e99", "inf", *["2"] * 17]
    write(orders(rating=ratings), tmp_path / "source" / "interactions.csv")
    dataset = build(tmp_path / "source")
    assert sorted(dataset.interactions["rating"]) == sorted([0.5, 5, 97, -3, 5, 5, 5, 5, *[2] * 17])
    reason = "rating is not a number: 5 is used"
    assert drops(dataset, "interaction") == {reason: (4, [f"interactions.csv line {n}" for n in (6, 7, 8, 9)])}


def test_whole_numbers_are_ratings_too(tmp_path: Path) -> None:
    write(orders(rating=[3, 2**62, *[-1] * 23]), tmp_path / "source" / "interactions.parquet")
    dataset = build(tmp_path / "source")
    assert sorted(dataset.interactions["rating"]) == [*[-1] * 23, 3, 5]
    assert [places for _, places in drops(dataset, "interaction").values()] == [["interactions.parquet row 2"]]


def test_rows_without_a_user_or_item_are_dropped(tmp_path: Path) -> None:
    frame = orders()
    frame.loc[25] = ["", "010", str(NOON), "4"]
    frame.loc[26] = ["001", "  ", str(NOON), "4"]
    write(frame, tmp_path / "source" / "interactions.csv")
    dataset = build(tmp_path / "source")
    assert histories(dataset) == expected()
    assert drops(dataset, "interaction") == {
        "no user": (1, ["interactions.csv line 27"]),
        "no item": (1, ["interactions.csv line 28"]),
    }


def test_images_are_files_inside_the_folder_or_addresses(source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    write_files(source, {"photos/a.JPG": b"a"})
    (source / "photos" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    images = [
        *("photos/a.JPG", "./photos/../photos/a.JPG", "https://x.org/b.jpg", "HTTP://x.org/c.jpg", ""),
        *("/etc/hostname", "../secret.jpg", "photos/link.jpg", "photos/none.jpg", "x" * 5000),
    ]
    write(products().assign(image=images), source / "items.csv")
    dataset = build(source)
    items = dataset.items.set_index("raw_id")
    assert [(dataset.folder / items.loc[item, "image"]).read_bytes() for item in ITEMS[:2]] == [b"a", b"a"]
    assert [list(items.loc[item, "image_urls"]) for item in ITEMS[2:4]] == [[images[2]], [images[3]]]
    assert items["image"].notna().sum() == 2
    assert {reason: places for reason, (_, places) in drops(dataset, "image").items() if "no image" not in reason} == {
        "absolute path": ["items.csv line 7: /etc/hostname"],
        "outside the source's folder": ["items.csv line 8: ../secret.jpg", "items.csv line 9: photos/link.jpg"],
        "no such file": ["items.csv line 10: photos/none.jpg", f"items.csv line 11: {'x' * 80}"],
    }


def test_categories_may_be_lists(source: Path) -> None:
    lists = [["a|b", " c "], [], None, ["d"], *[["e", None, ""]] * 6]
    (source / "items.csv").unlink()
    write(products().assign(categories=lists), source / "items.parquet")
    items = build(source).items.set_index("raw_id")["categories"]
    assert [list(items[item]) for item in ITEMS[:5]] == [["a|b", "c"], [], [], ["d"], ["e"]]


def test_of_several_rows_about_an_item_the_first_counts(source: Path) -> None:
    frame = pd.concat([products(), products().head(2).assign(title="again"), products().tail(1).assign(item="")])
    write(frame, source / "items.csv")
    dataset = build(source)
    assert "again" not in set(dataset.items["title"])
    assert drops(dataset, "item") == {
        "duplicate item: the first row is used": (2, ["items.csv line 12", "items.csv line 13"]),
        "no item": (1, ["items.csv line 14"]),
    }


def test_items_nobody_has_and_items_nobody_describes_are_counted(source: Path) -> None:
    write(pd.concat([products().iloc[1:], products().head(1).assign(item="99")]), source / "items.csv")
    dataset = build(source)
    assert histories(dataset) == expected()
    assert drops(dataset, "item") == {
        "no interactions left": (1, []),
        "not in items.csv: kept, without a title or image": (1, ["item 010"]),
    }


def test_items_under_other_ids_are_rejected(source: Path) -> None:
    write(products().assign(item=[str(int(item)) for item in ITEMS]), source / "items.csv")
    error = refusal(source)
    assert "has none of the items in the interactions, whose ids look like '010'" in error
    assert "its column 'item' look like '10'" in error


def test_explanations_need_an_interaction_and_keep_their_own_split_and_rating(source: Path) -> None:
    held_out = in_time(0)[-1]
    rows = [
        ("001", in_time(0)[0], "explained", "2", "validation"),
        ("001", held_out, "leak", "", "train"),
        ("001", held_out, "test as its interaction", "bad", ""),
        ("001", in_time(0)[1], "lost", "3", "later"),
        ("001", "99", "nothing bought", "3", ""),
        ("ghost", "010", "nobody", "3", ""),
        ("", "010", "nobody", "3", ""),
        ("001", in_time(0)[2], "", "3", ""),
    ]
    frame = pd.DataFrame(rows, columns=["user", "item", "explanation", "rating", "split"])
    write(frame.assign(summary="in short"), source / "explanations.csv")
    dataset = build(source)
    explained = dataset.explanations.set_index("explanation")
    assert explained[["split", "rating"]].to_dict("index") == {
        "explained": {"split": "valid", "rating": 2.0},
        "test as its interaction": {"split": "test", "rating": 4.0},
    }
    assert set(explained["summary"]) == {"in short"}
    assert drops(dataset, "explanation") == {
        "rating is not a number: that of the interaction is used": (1, ["explanations.csv line 4"]),
        "split is not one of train, valid, test": (1, ["explanations.csv line 5"]),
        "no kept interaction of its user with its item": (2, [f"explanations.csv line {n}" for n in (6, 7)]),
        "no user": (1, ["explanations.csv line 8"]),
        "in training, but about a held-out interaction": (1, []),
        "empty text": (1, []),
    }


def test_an_explanation_of_a_pair_that_met_twice_has_the_rating_of_the_last_time(source: Path) -> None:
    again = orders().head(1).assign(rating="1", time=str(NOON + 9000))
    write(pd.concat([again, orders()]), source / "interactions.csv")
    explained = build(source, repeats="keep").explanations.set_index("explanation")
    assert explained["rating"].to_dict() == {f"because {user}": 1.0 if user == USERS[0] else 4.0 for user in USERS}


def test_a_quoted_line_end_is_part_of_its_cell(source: Path) -> None:
    write(products().assign(description='two\n"lines"\n\nand "more",\r\nright?'), source / "items.csv")
    assert set(build(source).items["description"]) == {'two "lines" and "more", right?'}


BAD_ROWS = {
    "two fields": ("001,010", "2 fields, but the first row has 4"),
    "five fields": ("001,010,5,4,1", "5 fields, but the first row has 4"),
    "a NUL": (f"001,010,{NOON}\0,4", "contains a NUL byte"),
    "an open quote": (f'001,"010,{NOON},4', "unclosed quote"),
    "an open quote at the end": (f'001,010,{NOON},"4', "unclosed quote"),
    "a quote within": (f'"001,010,"{NOON},4', "2 fields, but the first row has 4"),
    "an old line end": (f"001,010\r,{NOON},4", "new-line character seen in unquoted field"),
    "a cell without end": (f"{'x' * 200_000},010,{NOON},4", "field larger than field limit"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("line", [2, 13, 27])
def test_a_bad_row_takes_no_other_with_it(line: int, case: str, source: Path) -> None:
    row, reason = BAD_ROWS[case]
    whole = read(source).interactions
    lines = (source / "interactions.csv").read_text().split("\n")
    lines.insert(line - 1, row)
    (source / "interactions.csv").write_text("\n".join(lines))
    raw = read(source)
    pd.testing.assert_frame_equal(raw.interactions, whole)
    (drop,) = raw.ledger.drops()
    assert drop.reason.startswith(reason)
    assert drop.count == 1
    assert drop.examples[0].startswith(f"interactions.csv line {line}")


def test_a_thousand_open_quotes_are_a_thousand_bad_rows(source: Path) -> None:
    path = source / "interactions.csv"
    path.write_text(path.read_text() + f'00"1,"010,{NOON},4\n' * 20)
    dataset = build(source)
    assert histories(dataset) == expected()
    assert sum(count for count, _ in drops(dataset, "interaction").values()) == 20


def test_a_byte_order_mark_spaces_in_the_head_and_blank_lines_do_not_matter(source: Path) -> None:
    whole = build(source).fingerprint
    path = source / "interactions.csv"
    path.write_bytes(
        b"\xef\xbb\xbf" + path.read_bytes().replace(b"user,item", b"user, item", 1).replace(b"\n", b"\n\n")
    )
    assert build(source).fingerprint == whole


def test_text_that_is_not_utf8_is_rejected_with_its_line(source: Path) -> None:
    path = source / "items.csv"
    data = path.read_bytes()
    path.write_bytes(data.replace("“013”".encode(), b"\xe9"))
    assert "items.csv' line 5 is not UTF-8 (byte 12: 0xe9): save the file as UTF-8" in refusal(source)
    path.write_bytes(data.decode().encode("utf-16"))
    assert "line 1 is not UTF-8" in refusal(source)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_missing_columns_are_answered_with_the_nearest(ending: str, source: Path) -> None:
    (source / "interactions.csv").unlink()
    write(orders().rename(columns={"user": "usr"}), source / f"interactions{ending}")
    error = refusal(source)
    assert "has columns usr, item, time, rating: needs user and item and time and rating" in error
    assert "but has no 'user': did you mean 'usr'?; name the columns in columns.yaml" in error
    (source / "columns.yaml").write_text("interactions: {user: usr, rating: stars}")
    assert "but has no 'stars'" in refusal(source)  # named, so it must be there
    (source / "columns.yaml").write_text("interactions: {user: usr}\nitems: {title: name}")
    assert "items.csv' has columns item, title, description, categories: needs item and name" in refusal(source)


def test_files_that_are_not_tables_are_rejected(source: Path) -> None:
    path = source / "interactions.csv"
    for text, error in {
        "": "is empty",
        "\n\n": "does not name columns",
        "user,item\n": "has column names but no rows",
        "user;item\n1;2\n": "separated by ';'?; write 'interactions: {separator: \";\"}' in columns.yaml",
        "user\titem\n1\t2\n": "separated by '\\t'?; write 'interactions: {separator: \"\\t\"}' in columns.yaml",
        "user,item,user\n1,2,3\n": "has 2 columns called 'user'",
        "user,item\n1\n2\n3\n": "3 of 3 rows cannot be read as interaction (line 2: 1 fields",
        "user,item\n,1\n,2\n3,4\n": "2 of 3 rows cannot be used (2 interaction: no user (first interactions.csv line 2",
        "user\0,item\n1,2\n": "does not name columns",
        'user,"item\n1,2\n': "does not name columns (unexpected end of data): is it a CSV file, with the names on one",
        'user,"item\n1,a"\n': "does not name columns (unexpected end of data)",
        "user,item\r1,2\r": "does not name columns",
    }.items():
        path.write_text(text, newline="")
        assert error in refusal(source), text
    path.write_bytes(gzip.compress(b"user,item\n1,2\n" * 99)[:-9])
    assert "broken or truncated gzip file" in refusal(source)


@pytest.mark.parametrize(
    ("separator", "said"), [(";", '";"'), ("\t", r'"\t"'), ("|", '"|"'), ("§", "§"), ("\x01", r'"\x01"')]
)
def test_a_separator_can_be_named(separator: str, said: str, source: Path) -> None:
    whole = build(source).fingerprint
    orders().to_csv(source / "interactions.csv", sep=separator, index=False)
    (source / "columns.yaml").write_text(f"interactions: {{separator: {said}}}")
    assert build(source).fingerprint == whole


def test_a_parquet_file_has_no_separator(tmp_path: Path) -> None:
    write(orders(), tmp_path / "source" / "interactions.parquet")
    (tmp_path / "source" / "columns.yaml").write_text('interactions: {separator: ";"}')
    assert "separator=';': " in refusal(tmp_path / "source")


def test_parquet_files_that_cannot_be_read_are_rejected(source: Path) -> None:
    (source / "items.csv").unlink()
    path = write(products(), source / "items.parquet")
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    assert "items.parquet' is not a readable Parquet file" in refusal(source)
    path.write_bytes(data.replace(b"Lamp, \xe2\x80\x9c010", b"Lamp, \xff\xff\xff010"))
    assert "items.parquet' is not a readable Parquet file" in refusal(source)
    write(products().assign(title=[["a list"]] * 10), path)
    assert "column 'title' has the type list<" in refusal(source)
    write(products().head(0), path)
    assert "has column names but no rows" in refusal(source)


def test_one_table_in_two_files_is_rejected_and_none_too(source: Path) -> None:
    write(orders(), source / "interactions.tsv")
    assert "has interactions.csv and interactions.tsv: keep one, or name the file in columns.yaml" in refusal(source)
    (source / "columns.yaml").write_text("interactions: {file: interactions.tsv}")
    assert histories(build(source)) == expected()


def test_a_folder_without_interactions_is_rejected_with_what_it_needs(source: Path) -> None:
    (source / "interactions.csv").unlink()
    assert "has no interactions: needs interactions.csv (or .tsv, .parquet), or a columns.yaml" in refusal(source)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("interactions: {usr: x}", "unknown key in columns.yaml, interactions: 'usr': did you mean 'user'?"),
        ("item: {title: x}", "unknown key in columns.yaml: 'item': did you mean 'items'?"),
        ("interactions: {time_unit: m}", "interactions.time_unit='m': Input should be 's', 'ms', 'us', 'ns' or 'date'"),
        ("interactions: {time_unit: s, time_format: '%Y'}", "time_format is for dates, but time_unit is s"),
        ("interactions: {time_format: '%q'}", "time_format='%q': 'q' is a bad directive"),
        ("interactions: {time_format: mixed}", "interactions.time_format='mixed'"),
        ("interactions: {user: }", "interactions.user='': String should have at least 1 character"),
        ("interactions: {user: [a]}", "interactions.user=['a']: Input should be a valid string"),
        ("interactions: orders.csv", "interactions='orders.csv': Input should be"),
        *((f"interactions: {{separator: {bad}}}", "must be one character") for bad in ("ab", "x", "\\t", "'\"'", "1")),
        ('interactions: {separator: ""}', "interactions.separator='': String should have at least 1 character"),
        ("name: my shop", "name='my shop': String should match"),
        ("interactions: {file: none.csv}", "interactions.file='none.csv': no such file: name a file in"),
        ("interactions: {file: ../out.csv}", "interactions.file='../out.csv': outside the source's folder"),
        ("interactions: {file: /etc/passwd}", "interactions.file='/etc/passwd': absolute path"),
        ("interactions: {file: columns.yaml}", "its name must end in .csv, "),
        ("interactions: {user: x", "is not valid YAML: while parsing a flow mapping"),
        ("- user", "is not a mapping"),
        ("", "is not a mapping"),
        ("[" * 1000, "is not valid YAML"),
        ("name: " + "x" * 70_000, "is larger than 64 KiB"),
        ("a: !!python/object/apply:os.getpid []", "unknown key in columns.yaml: 'a'"),
    ],
)
def test_a_wrong_mapping_is_answered_with_what_is_wrong(text: str, error: str, source: Path) -> None:
    (source / "columns.yaml").write_text(text)
    assert error in refusal(source)


@pytest.mark.slow
def test_movielens_as_a_table_is_the_dataset_of_its_own_reader(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "movielens-100k"
    (tmp_path / "source").mkdir()
    head = b"user\titem\trating\ttime\n"
    (tmp_path / "source" / "interactions.tsv").write_bytes(head + (folder / "ml-100k" / "u.data").read_bytes())
    mine, theirs = (
        read(tmp_path / "source"),
        read_movielens_100k(ReadRequest("movielens-100k", folder=folder)),
    )
    order = ["user", "timestamp"]
    assert (mine.interactions.pop("fraction") == 0).all()
    pd.testing.assert_frame_equal(
        mine.interactions[theirs.interactions.columns].sort_values(order, kind="stable").reset_index(drop=True),
        theirs.interactions.sort_values(order, kind="stable").reset_index(drop=True),
    )
    dataset = build(tmp_path / "source")
    counts = dataset.manifest.counts
    assert (counts["users"], counts["items"], counts["interactions"]) == (943, 1682, 100_000)
    assert len(histories(dataset)["196"]) == 39


def parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


TEXT_SHOP = {
    "interactions.csv": orders().to_csv(index=False).encode(),
    "items.csv": products().assign(image="a.jpg").to_csv(index=False).encode(),
    "explanations.tsv": reasons().assign(split="", rating="4").to_csv(index=False, sep="\t").encode(),
    "columns.yaml": b"name: shop\ninteractions: {file: interactions.csv, time: time}\nitems: {title: title}\n",
}
PARQUET_SHOP = {
    "interactions.parquet": parquet(orders(time=moments())),
    "items.parquet": parquet(products().assign(categories=[["a", "b"]] * 10)),
    "explanations.parquet": parquet(reasons()),
}


@pytest.mark.parametrize("files", [TEXT_SHOP, PARQUET_SHOP], ids=["text", "parquet"])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_damaged_files_give_a_dataset_or_an_error_that_says_why(files: dict[str, bytes], data: st.DataObject) -> None:
    prepares_or_explains(read_tables, files, data.draw(edits(list(files))))
