"""The Amazon dumps of three years: valid rows are read; invalid ones are dropped, counted and located."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support import amazon_dumps as dumps
from support.amazon_dumps import CATEGORY, HISTORIES, START, YEARS, Row

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.raw import Drop, RawData, ReadRequest
from vip5core.data.readers.amazon import read_amazon
from vip5core.data.readers.amazon.releases import RELEASES
from vip5core.data.readers.amazon.review_words import words_of_review
from vip5core.data.sources import SOURCES, prepare
from vip5core.errors import UserError
from vip5core.home import Home

pytestmark = pytest.mark.slow

ALL = BuildOptions(k_core=0)
LAST = START + 100

every_year = pytest.mark.parametrize("year", YEARS)


def read(source: Path, year: int, category: str = "") -> RawData:
    return read_amazon(ReadRequest(f"amazon-{year}", category, source))


def build(source: Path, year: int, options: BuildOptions = ALL, category: str = "") -> Dataset:
    out = source.parent / f"out{len(list(source.parent.glob('out*')))}"
    return Dataset.load(build_dataset(read(source, year, category), out, options))


class RawDump:
    """What the reader reads from a dump, before anything is filtered."""

    def __init__(self, source: Path, year: int, category: str = "") -> None:
        self.source = source
        raw = read(source, year, category)
        details = raw.details(raw.interactions)
        in_time = raw.interactions.sort_values("timestamp", kind="stable").groupby("user", sort=False)["item"]
        self.histories = {user: list(items) for user, items in in_time}
        self.items = details.items.set_index("raw_id")
        self.drops = {drop.reason: drop for drop in raw.ledger.drops()}
        self.explanations = details.explanations
        self.times = raw.interactions["timestamp"].tolist()
        self.titles = int((self.items["title"] != "").sum())

    @property
    def drop(self) -> Drop:
        """The only one."""
        (drop,) = self.drops.values()
        return drop


def refusal(year: int, source: Path, category: str = "") -> str:
    with pytest.raises(UserError) as caught:
        read(source, year, category)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def drops(dataset: Dataset, what: str) -> dict[str, Drop]:
    return {drop.reason: drop for drop in dataset.manifest.drops if drop.what == what}


def one_drop(dataset: Dataset, what: str) -> Drop:
    (drop,) = drops(dataset, what).values()
    return drop


def histories(dataset: Dataset) -> dict[str, list[str]]:
    raw_id = dataset.items.set_index("item")["raw_id"]
    return {user.raw_id: raw_id[dataset.history(user.user)].tolist() for user in dataset.users.itertuples()}


def item_of(dataset: Dataset, raw_id: str) -> pd.Series:
    return dataset.items.set_index("raw_id").loc[raw_id]


def with_line(source: Path, year: int, line: str | bytes, meta: bool = False) -> None:
    """Put one more line in the middle of a file."""
    path = source / (dumps.meta_name(year) if meta else dumps.reviews_name(year))
    lines = path.read_bytes().splitlines(keepends=True)
    line = line.encode() if isinstance(line, str) else line
    path.write_bytes(b"".join([*lines[:4], line + b"\n", *lines[4:]]))


@every_year
def test_a_valid_dump_is_read_completely(year: int, tmp_path: Path) -> None:
    dataset = build(dumps.write_dump(tmp_path / "in", year), year)
    assert dataset.manifest.source == {"name": f"amazon-{year}", "category": CATEGORY}
    assert histories(dataset) == HISTORIES
    assert [drop.what for drop in dataset.manifest.drops] == ["image"]  # which are downloaded later
    counts = dataset.manifest.counts
    assert (counts["interactions_in_source"], counts["interactions"], counts["items_with_title"]) == (48, 48, 9)
    thing = item_of(dataset, "B3")
    assert thing["title"] == "Thing B3"
    assert thing["categories"].tolist() == ["Toys & Games", "Puzzles"]
    assert thing["description"] == "What B3 is."
    urls = {
        2014: ["http://x/B3.jpg"],
        2018: ["https://x/B3.jpg", "https://x/B3_SS40_.jpg"],
        2023: [f"https://x/B3{end}.jpg" for end in ("", "_l", "_t", "b", "b_t")],
    }
    assert thing["image_urls"].tolist() == urls[year]
    assert set(dataset.users["name"]) == {user if year == 2023 else f"Name of {user}" for user in HISTORIES}
    assert set(dataset.interactions["rating"]) == {5.0 if year == 2023 else 4.0}
    assert set(dataset.interactions["timestamp"]) == set(range(START, START + 6))


@every_year
def test_an_explanation_is_a_sentence_of_the_review_of_its_pair_in_its_split(year: int, tmp_path: Path) -> None:
    dataset = build(dumps.write_dump(tmp_path / "in", year), year)
    rows = dataset.explanations.merge(dataset.interactions, on=["user", "item"], suffixes=("", "_of_pair"))
    rows = rows.merge(dataset.users, on="user").merge(dataset.items, on="item", suffixes=("_user", "_item"))
    assert len(rows) == len(dataset.explanations) == 48
    assert rows["split"].tolist() == rows["split_of_pair"].tolist()
    assert set(rows["split"]) == {"train", "valid", "test"}
    text = RELEASES[f"amazon-{year}"].text
    for row in rows.itertuples():
        review = dumps.review(year, row.raw_id_user, row.raw_id_item, START)
        sentence = next(part for part in review[text].split(".") if "great" in part)
        assert row.explanation.split() == words_of_review(sentence)
        assert row.aspect in row.explanation.split()
        assert row.aspect in dumps.ASPECTS
        assert row.summary == f"Nice {row.raw_id_item}"
        assert row.rating == row.rating_of_pair


def test_a_text_that_judges_nothing_explains_nothing(tmp_path: Path) -> None:
    reviews = dumps.reviews_of(2014)
    for odd in (None, "", 5, ["the color is great"], "Fine."):
        reviews[len(str(odd))]["reviewText"] = odd
    del reviews[20]["reviewText"], reviews[21]["summary"], reviews[22]["reviewerName"]
    dump = RawDump(dumps.write_dump(tmp_path / "in", 2014, reviews), 2014)
    assert len(dump.times) == 48
    assert 0 < len(dump.explanations) < 48 - 3


def test_order_within_a_second_is_kept_by_milliseconds(tmp_path: Path) -> None:
    order = ["B5", "B2", "B8", "B1", "B7"]
    reviews = dumps.reviews_of(2023)
    reviews += [dumps.review(2023, "quick", item, LAST + n / 1000) for n, item in enumerate(order)][::-1]
    dump = RawDump(dumps.write_dump(tmp_path / "in", 2023, reviews), 2023)
    assert dump.histories == {**HISTORIES, "quick": order}
    assert max(dump.times) == LAST
    built = build(dump.source, 2023)
    assert histories(built)["quick"] == order  # times within a second differ: these are no ties
    assert built.manifest.tie_order.pairs == 0


@pytest.mark.parametrize("year", [2014, 2018])
def test_within_a_second_the_order_of_the_file_decides(year: int, tmp_path: Path) -> None:
    order = ["B5", "B2", "B8", "B1", "B7"]
    reviews = dumps.reviews_of(year) + [dumps.review(year, "quick", item, LAST) for item in order]
    dump = RawDump(dumps.write_dump(tmp_path / "in", year, reviews), year)
    assert dump.histories["quick"] == order


@every_year
def test_reviews_out_of_order_are_put_in_order_of_time(year: int, tmp_path: Path) -> None:
    dump = RawDump(dumps.write_dump(tmp_path / "in", year, dumps.reviews_of(year)[::-1]), year)
    assert dump.histories == HISTORIES


@every_year
def test_a_review_that_is_there_twice_counts_once(year: int, tmp_path: Path) -> None:
    reviews = dumps.reviews_of(year)
    reviews += [reviews[7], reviews[9], reviews[7]]
    source = dumps.write_dump(tmp_path / "in", year, reviews)
    dataset = build(source, year)
    assert histories(dataset) == HISTORIES
    drop = one_drop(dataset, "interaction")
    assert (drop.count, drop.examples) == (3, ["user U1, item B2"])
    assert "duplicate: same user, item and time" in drop.reason
    kept = build(source, year, BuildOptions(duplicates="keep", repeats="keep"))
    assert len(kept.interactions) == 51


def test_the_explanation_of_a_pair_reviewed_twice_is_that_of_the_review_that_is_kept(tmp_path: Path) -> None:
    later = dumps.review(2014, "U0", "B1", LAST, reviewText="I changed my mind. The strap is awful now. Bye.")
    source = dumps.write_dump(tmp_path / "in", 2014, [later, *dumps.reviews_of(2014)])
    for repeats, history, says in (
        ("first", ["B0", "B1", "B2", "B3", "B4", "B5"], "great on b1"),
        ("last", ["B0", "B2", "B3", "B4", "B5", "B1"], "awful now"),
    ):
        dataset = build(source, 2014, BuildOptions(repeats=repeats))  # type: ignore[arg-type]
        assert histories(dataset)["U0"] == history
        item, user = item_of(dataset, "B1")["item"], dataset.users.set_index("raw_id").loc["U0", "user"]
        rows = dataset.explanations.query(f"item == {item} and user == {user}")
        assert [says in text for text in rows["explanation"]] == [True]


def test_unverified_reviews_are_kept_and_counted(tmp_path: Path) -> None:
    for year, key in ((2018, "verified"), (2023, "verified_purchase")):
        reviews = dumps.reviews_of(year)
        reviews[3][key] = reviews[5][key] = False
        del reviews[6][key]
        dump = RawDump(dumps.write_dump(tmp_path / str(year) / "in", year, reviews), year)
        assert len(dump.times) == 48
        assert (dump.drop.count, dump.drop.reason) == (
            2,
            "not a verified purchase: kept",
        )


@every_year
def test_the_source_keeps_the_5_core_by_default(year: int, tmp_path: Path) -> None:
    assert SOURCES[f"amazon-{year}"].defaults.k_core == 5
    dense = {f"U{user}": [f"B{item}" for item in range(5)] for user in range(5)}
    rare = {"rare": ["B0", "B1", "B2", "B3"], **dense, "U0": ["B0", "B1", "B2", "B3", "B4", "B9"]}
    source = dumps.write_dump(tmp_path / "in", year, dumps.reviews_of(year, rare), dumps.items_of(year, rare))
    dataset = Dataset.load(prepare(f"amazon-{year}", source, Home(tmp_path / "home")))
    assert histories(dataset) == dense
    assert dataset.manifest.k_core == 5
    assert "rare" in histories(build(source, year))


@every_year
def test_a_category_is_found_by_its_name_by_the_papers_name_and_alone(year: int, tmp_path: Path) -> None:
    source = dumps.write_dump(tmp_path / "in", year)
    for category in ("", "toys", "Toys", CATEGORY):
        assert read(source, year, category).source["category"] == CATEGORY
    dumps.write_dump(source, year, category="Beauty")
    assert read(source, year, "toys").source["category"] == CATEGORY
    assert read(source, year, "beauty").source["category"] == "Beauty"
    message = refusal(year, source)
    assert "which has Beauty, Toys_and_Games" in message
    assert f"as amazon-{year}:CATEGORY" in message


@every_year
@pytest.mark.parametrize("category", ["Sports", "../in/Toys_and_Games", "/etc/passwd", "*", "\ud800", "x\0"])
def test_an_unknown_category_is_rejected_with_the_known_ones(year: int, category: str, tmp_path: Path) -> None:
    source = dumps.write_dump(tmp_path / "in", year)
    assert "which has Toys_and_Games" in refusal(year, source, category)
    (empty := tmp_path / "empty").mkdir()
    assert "which has no reviews" in refusal(year, empty, category)


def test_a_file_whose_name_is_no_text_is_no_category(tmp_path: Path) -> None:
    source = dumps.write_dump(tmp_path / "in", 2014)
    os.link(source / dumps.reviews_name(2014), os.fsencode(source) + b"/reviews_\xff_5.json")
    assert read(source, 2014).source["category"] == CATEGORY


def test_the_5_core_is_taken_before_all_reviews(tmp_path: Path) -> None:
    for year in (2014, 2018):
        source = dumps.write_dump(tmp_path / str(year), year)
        core = source / dumps.reviews_name(year)
        (source / core.name.replace("_5", "")).write_text("all of them\n")
        assert len(read(source, year).interactions) == 48
        core.unlink()
        assert "cannot be read as review" in refusal(year, source)


@every_year
def test_without_a_file_of_items_they_have_no_titles_and_the_ledger_says_so(year: int, tmp_path: Path) -> None:
    source = dumps.write_dump(tmp_path / "in", year)
    (source / dumps.meta_name(year)).unlink()
    dump = RawDump(source, year)
    assert dump.histories == HISTORIES
    assert dump.titles == 0
    assert dump.items["image_urls"].map(len).sum() == 0
    assert f"no meta_{CATEGORY}.json" in dump.drop.reason
    assert len(dump.explanations) == 48


@every_year
def test_items_that_are_not_described_or_twice_are_counted(year: int, tmp_path: Path) -> None:
    items = dumps.items_of(year)
    again = dumps.item(year, "B3", title="Another title")
    other = dumps.item(year, "not reviewed")
    dump = RawDump(dumps.write_dump(tmp_path / "in", year, items=[other, *items[:-2], again, other]), year)
    assert dump.histories == HISTORIES
    assert dump.items.loc["B3"]["title"] == "Thing B3"
    assert dump.items["title"][["B7", "B8"]].tolist() == ["", ""]
    assert {reason: drop.count for reason, drop in dump.drops.items()} == {
        f"not in {dumps.meta_name(year)}: it has no title and no image": 2,
        "duplicate description: the first one is kept": 1,
    }


@every_year
@pytest.mark.parametrize("meta", [False, True], ids=["reviews", "items"])
def test_broken_lines_in_the_middle_are_dropped_with_their_places(meta: bool, year: int, tmp_path: Path) -> None:
    no_record = [b"17", b'["B1", "U1"]', b"null"]
    no_syntax = [
        b'{"asin": "B1", "parent_asin": "B1", ',
        b"\0\0\0\0",
        b"[" * 100_000,
        b"{'a': " + b"-" * 100_000 + b"1}",
        b"{'a': " + b"9" * 5000 + b"}",
        b"{'a': 0x" + b"f" * 400 + b" + 1j}",
        b"{[]: 1}",
    ]
    items = dumps.items_of(year) + [dumps.item(year, f"not reviewed {n}") for n in range(9)]
    source = dumps.write_dump(tmp_path / "in", year, items=items)
    for line in (*no_record, *no_syntax[::-1], b"{}", "Müsli".encode("latin-1")):
        with_line(source, year, line, meta)
    dump = RawDump(source, year)
    assert dump.histories == HISTORIES
    assert dump.titles == 9
    key = RELEASES[f"amazon-{year}"].item if meta else RELEASES[f"amazon-{year}"].user
    assert {drop.reason: drop.count for drop in dump.drops.values()} == {
        "not utf-8 text": 1,
        f"no {key}": 1,
        "neither JSON nor a Python literal": 7,
        "not an object with keys and values": 3,
    }
    assert {drop.what for drop in dump.drops.values()} == {"item" if meta else "review"}
    name = dumps.meta_name(year) if meta else dumps.reviews_name(year)
    places = dump.drops["neither JSON nor a Python literal"].examples
    assert places[0] == f'{name} line 7: {{"asin": "B1", "parent_asin": "B1",'
    assert [place.partition(":")[0] for place in places] == [f"{name} line {number}" for number in range(7, 12)]
    assert max(map(len, places)) < 160


@every_year
@pytest.mark.parametrize("meta", [False, True], ids=["reviews", "items"])
def test_a_line_that_is_code_is_not_run(meta: bool, year: int, tmp_path: Path) -> None:
    source = dumps.write_dump(tmp_path / "in", year)
    touched = tmp_path / "touched"
    code = f"__import__('os').system('touch {touched}')"
    for line in (code, f"{{'asin': {code}}}", f"{{{code}: 'B1'}}", f"{{'asin': f'{{{code}}}', 'parent_asin': 'B1'}}"):
        with_line(source, year, line, meta)
    dump = RawDump(source, year)
    assert not touched.exists()
    assert dump.drop.count == 4
    assert dump.histories == HISTORIES


@every_year
def test_an_id_that_is_a_path_stays_a_text(year: int, tmp_path: Path) -> None:
    odd = {"../../etc/passwd": ["../up", "/etc/passwd", "~", "a'b", 'a"b', "a\\b", "..", "B 1 "]}
    histories_in = {**HISTORIES, **odd}
    source = dumps.write_dump(
        tmp_path / "in", year, dumps.reviews_of(year, histories_in), dumps.items_of(year, histories_in)
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    dataset = build(source, year)
    assert histories(dataset) == histories_in
    assert dataset.manifest.counts["items_with_title"] == 17
    assert sorted(path.name for path in tmp_path.iterdir()) == [*before, "out0"]
    assert not list((dataset.folder / "images").iterdir())


@every_year
@pytest.mark.parametrize("key", ["user", "item"])
def test_an_id_that_is_not_a_line_of_text_is_dropped(key: str, year: int, tmp_path: Path) -> None:
    name = getattr(RELEASES[f"amazon-{year}"], key)
    review = dumps.review(year, "U1", "B1", LAST)
    odd = ["", "  ", "a\nb", "\ud800", "x\udfff", "\0", "\x1b[2J", 5, None, ["B1"], {"a": 1}, True]
    bad = [{other: value for other, value in review.items() if other != name}, *(review | {name: id_} for id_ in odd)]
    dump = RawDump(dumps.write_dump(tmp_path / "in", year, [*bad, *dumps.reviews_of(year)]), year)
    assert dump.histories == HISTORIES
    assert (dump.drop.reason, dump.drop.count) == (f"no {name}", len(bad))


@every_year
@pytest.mark.parametrize("key", ["rating", "time"])
def test_an_invalid_rating_or_time_is_dropped(key: str, year: int, tmp_path: Path) -> None:
    name = getattr(RELEASES[f"amazon-{year}"], key)
    review = dumps.review(year, "U1", "B8", LAST)
    odd = [
        "5",
        None,
        True,
        [5],
        float("nan"),
        float("inf"),
        -float("inf"),
        0,
        -1,
        0.99,
        5.01,
        10**400,
        -(10**30),
        1e300,
    ]
    bad = [{other: value for other, value in review.items() if other != name}, *(review | {name: no} for no in odd)]
    dump = RawDump(dumps.write_dump(tmp_path / "in", year, [*bad, *dumps.reviews_of(year)]), year)
    assert dump.histories == HISTORIES
    assert name in dump.drop.reason
    assert dump.drop.count == len(bad)


def test_times_in_another_unit_are_no_times(tmp_path: Path) -> None:
    late = [review | {"unixReviewTime": review["unixReviewTime"] * 1000} for review in dumps.reviews_of(2018)]
    assert "unixReviewTime is not a unix time in seconds" in refusal(2018, dumps.write_dump(tmp_path / "a", 2018, late))
    early = [review | {"timestamp": review["timestamp"] // 1000} for review in dumps.reviews_of(2023)]
    message = refusal(2023, dumps.write_dump(tmp_path / "b", 2023, early))
    assert "timestamp is not a unix time in milliseconds" in message


@every_year
def test_a_dump_without_a_needed_key_is_rejected(year: int, tmp_path: Path) -> None:
    release = RELEASES[f"amazon-{year}"]
    for key in (release.user, release.item, release.rating, release.time):
        rows = [{name: value for name, value in row.items() if name != key} for row in dumps.reviews_of(year)]
        message = refusal(year, dumps.write_dump(tmp_path / key, year, rows))
        assert "48 of 48 lines cannot be read as review (line 1: " in message
        assert key in message
    for key in (release.text, release.summary):
        rows = [{name: value for name, value in row.items() if name != key} for row in dumps.reviews_of(year)]
        dump = RawDump(dumps.write_dump(tmp_path / key / "in", year, rows), year)
        assert dump.histories == HISTORIES
        assert len(dump.explanations) == (0 if key == release.text else 48)


@every_year
def test_the_dump_of_another_year_is_rejected(year: int, tmp_path: Path) -> None:
    other = 2018 if year == 2023 else 2023
    folder = dumps.write_dump(tmp_path / "in", other)
    (folder / dumps.reviews_name(other)).rename(folder / dumps.reviews_name(year))
    assert "48 of 48 lines cannot be read as review" in refusal(year, folder)


@every_year
def test_surrogates_in_texts_are_repaired(year: int, tmp_path: Path) -> None:
    release = RELEASES[f"amazon-{year}"]

    def broken(row: Row) -> Row:
        kept = (release.user, release.item)
        return {
            key: "\ud800" + value + "\udc00" if isinstance(value, str) and key not in kept else value
            for key, value in row.items()
        }

    items = [broken(item) for item in dumps.items_of(year)]
    items[3] |= {"title": "A smile \ud83d\ude00", "categories": [["\ud800"]], "category": ["\ud800"]}
    items[4] |= {"description": ["\ud800", "x"], "imUrl": "\ud800", "imageURL": ["\ud800"]}
    source = dumps.write_dump(tmp_path / "in", year, [broken(row) for row in dumps.reviews_of(year)], items)
    dataset = build(source, year)
    assert histories(dataset) == HISTORIES
    assert len(dataset.explanations) == 48
    assert item_of(dataset, "B3")["title"] == "A smile \U0001f600"
    assert "Thing B1" in item_of(dataset, "B1")["title"]
    assert not any("\ufffd" in url for urls in dataset.items["image_urls"] for url in urls)


def test_markup_is_removed_from_titles(tmp_path: Path) -> None:
    items = dumps.items_of(2018)
    items[0] |= {
        "title": '<span class="a">Red &amp; <b>blue</b></span>\n thing &lt;3',
        "category": ["Toys &amp; Games", "<b>", "</span></span>", " Puzzles "],
        "description": ["<div>One</div>", "", None, "two<br/>three"],
    }
    items[1] |= {"title": "word " * 500, "category": [], "main_category": "Toys", "description": "a string"}
    items[2] |= {"title": ["a list"], "category": {"a": "record"}, "description": {"a": 1}, "imageURLHighRes": {"a": 1}}
    items[3] |= {"title": None, "category": None, "description": None, "imageURLHighRes": None, "imageURL": 7}
    dump = RawDump(dumps.write_dump(tmp_path / "in", 2018, items=items), 2018)
    first, second, third = (dump.items.loc[f"B{n}"] for n in range(3))
    assert first["title"] == "Red & blue thing <3"
    assert first["categories"] == ["Toys & Games", "Puzzles"]
    assert first["description"] == "One two three"
    assert second["title"] == "word " * 59 + "word"
    assert second["categories"] == ["Toys"]
    assert second["description"] == "a string"
    assert (third["title"], third["categories"], third["description"]) == ("", [], "")
    assert third["image_urls"] == ["https://x/B2_SS40_.jpg"]
    assert dump.items.loc["B3"]["image_urls"] == []


def test_a_text_that_speaks_of_an_items_key_does_not_hide_the_item(tmp_path: Path) -> None:
    items = [dumps.item(2018, raw_id, title="See 'asin': \"B00024QZX0\" too") for raw_id in ("B0", "B1")]
    items = [{key: row[key] for key in ("title", "asin")} for row in items] + dumps.items_of(2018)[2:]
    source = dumps.write_dump(tmp_path / "in", 2018, items=items)
    meta = source / dumps.meta_name(2018)
    meta.write_text(meta.read_text().replace('"asin": "B5"', r'"asin": "B\u0035"'))
    dump = RawDump(source, 2018)
    assert dump.titles == 9
    assert dump.items.loc["B5"]["title"] == "Thing B5"


@pytest.mark.parametrize(
    ("high", "low", "pictures"),
    [
        # As in the dumps: a list of names, and the same names with a size, perhaps of fewer pictures.
        (["I/a.jpg", "I/b.jpg"], ["I/a._SS40_.jpg", "I/b._SS40_.jpg"], [0, 1, 0, 1]),
        (["I/a.jpg", "I/b.jpg"], ["I/b._SS40_.jpg"], [0, 1, 1]),
        (["I/a.jpg"], ["I/c._SS40_.jpg", "I/a._SS40_.jpg"], [0, 1, 0]),
        # Of other names, as many: matched by place; another number of them: pictures of their own.
        (["I/a.jpg", "I/b.jpg"], ["I/x.jpg", "I/y.jpg"], [0, 1, 0, 1]),
        (["I/a.jpg", "I/b.jpg"], ["I/x.jpg"], [0, 1, 2]),
        ([], ["I/x.jpg", "I/y.jpg"], [0, 1]),
        (["I/a.jpg"], ["I/a._SS40_.jpg"], []),  # one picture in two sizes
        ([], [], []),
    ],
)
def test_sizes_of_a_picture_of_2018_are_not_further_pictures(
    high: list[str], low: list[str], pictures: list[int], tmp_path: Path
) -> None:
    items = [dumps.item(2018, f"B{n}", imageURLHighRes=high, imageURL=low) for n in range(9)]
    dataset = build(dumps.write_dump(tmp_path / "in", 2018, items=items), 2018)
    thing = item_of(dataset, "B3")
    assert thing["image_urls"].tolist() == high + low
    # Two numbers are equal if and only if the addresses show the same picture.
    shown = {number: place for place, number in reversed(list(enumerate(thing["url_pictures"])))}
    assert [shown[number] for number in thing["url_pictures"]] == [pictures.index(number) for number in pictures]


def test_the_records_of_an_item_of_2023_are_its_pictures(tmp_path: Path) -> None:
    several = [{"thumb": "bt"}, {"hi_res": "a", "large": "al", "thumb": "at", "variant": "MAIN"}]
    one = [{"hi_res": "a", "large": "al", "variant": "MAIN"}, {"large": "a"}]  # the second repeats an address
    items = [dumps.item(2023, f"B{n}", images=one if n else several) for n in range(9)]
    dataset = build(dumps.write_dump(tmp_path / "in", 2023, items=items), 2023)
    thing = item_of(dataset, "B0")
    assert (thing["image_urls"].tolist(), thing["url_pictures"].tolist()) == (["a", "al", "at", "bt"], [0, 0, 0, 1])
    assert len(item_of(dataset, "B1")["url_pictures"]) == 0


@every_year
def test_items_with_one_picture_each_have_the_columns_that_they_always_had(year: int, tmp_path: Path) -> None:
    one = {2014: {}, 2018: {}, 2023: {"images": [{"hi_res": "a", "large": "b", "variant": "MAIN"}]}}[year]
    items = [dumps.item(year, f"B{n}", **one) for n in range(9)]
    dataset = build(dumps.write_dump(tmp_path / "in", year, items=items), year)
    assert pq.read_schema(dataset.folder / "items.parquet").names[-1] == "image_urls"
    assert not dataset.has_further_images


@pytest.mark.parametrize(
    ("images", "urls"),
    [
        ([], []),
        (None, []),
        ("https://x/a.jpg", []),
        ([{"variant": "MAIN", "large": "L", "hi_res": None, "thumb": "T"}], ["L", "T"]),
        ([{"large": "second"}, {"variant": "MAIN", "hi_res": "first"}], ["first", "second"]),
        ([None, 5, {"large": 7}, {"large": "L"}, {"large": "L"}], ["L"]),
        (
            {"hi_res": ["H1", None], "large": ["L1", "L2"], "thumb": ["T1"], "variant": ["PT", "MAIN"]},
            ["L2", "H1", "L1", "T1"],
        ),
        ([{"variant": "MAIN", "large": " a\nb "}, {"large": "\x1b[2J"}], []),
    ],
)
def test_images_of_2023_come_best_first(images: object, urls: list[str], tmp_path: Path) -> None:
    items = [dumps.item(2023, item["parent_asin"], images=images) for item in dumps.items_of(2023)]
    dump = RawDump(dumps.write_dump(tmp_path / "in", 2023, items=items), 2023)
    assert dump.items["image_urls"].tolist() == [urls] * 9


@every_year
def test_a_truncated_dump_is_rejected(year: int, tmp_path: Path) -> None:
    source = dumps.write_dump(tmp_path / "in", year, packed=True)
    meta = source / f"{dumps.meta_name(year)}.gz"
    meta.write_bytes(meta.read_bytes()[:-20])
    raw = read(source, year)
    with pytest.raises(UserError, match=r"meta_.* is a broken or truncated gzip file"):
        build_dataset(raw, tmp_path / "out", ALL)
    reviews = source / f"{dumps.reviews_name(year)}.gz"
    reviews.write_bytes(reviews.read_bytes()[:-20])
    assert "broken or truncated gzip file" in refusal(year, source)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def digest(folder: Path) -> str:
    """Of every byte of a dataset."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


@every_year
def test_a_packed_dump_gives_the_bytes_of_the_plain_one(year: int, tmp_path: Path) -> None:
    plain = build(dumps.write_dump(tmp_path / "plain" / "in", year), year)
    packed = build(dumps.write_dump(tmp_path / "packed" / "in", year, packed=True), year)
    assert digest(plain.folder) == digest(packed.folder)


@pytest.mark.slow
def test_the_same_dump_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from vip5core.data.build import BuildOptions, build_dataset\n"
        "from vip5core.data.raw import ReadRequest\n"
        "from vip5core.data.readers.amazon import read_amazon\n"
        "from vip5core.data.readers.amazon.releases import RELEASES\n"
        "source, out = map(Path, sys.argv[1:])\n"
        "for name in RELEASES:\n"
        "    for scheme in ('random', 'sequential', 'collaborative'):\n"
        "        raw = read_amazon(ReadRequest(name, folder=source / name[-4:]))\n"
        "        build_dataset(raw, out / f'{name}-{scheme}', BuildOptions(id_scheme=scheme))\n"
    )
    for year in YEARS:
        dumps.write_dump(tmp_path / "in" / str(year), year)
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "in", tmp_path / seed],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.returncode == 0, done.stderr
    first = {path.name: digest(path) for path in (tmp_path / "0").iterdir()}
    assert len(first) == len(set(first.values())) == 9
    assert {path.name: digest(path) for path in (tmp_path / "1").iterdir()} == first


@pytest.mark.slow
def test_the_real_gift_cards_of_2018(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "amazon2018-gift-cards"
    raw = read(folder, 2018)
    assert raw.source == {"name": "amazon-2018", "category": "Gift_Cards"}
    assert len(raw.interactions) == 2972
    assert (raw.interactions["user"].nunique(), raw.interactions["item"].nunique()) == (458, 148)
    dataset = Dataset.load(build_dataset(raw, tmp_path / "all", BuildOptions(repeats="keep", duplicates="keep")))
    counts = dataset.manifest.counts
    assert counts["interactions_in_source"] == 2972
    assert counts["items"] == counts["items_with_title"] == 148
    assert "item" not in {drop.what for drop in dataset.manifest.drops}
    assert dataset.items["image_urls"].map(len).gt(0).sum() > 0
    assert one_drop(dataset, "review").count == 134
    core = Dataset.load(prepare("amazon-2018:Gift_Cards", folder, Home(tmp_path / "home")))
    counts = core.manifest.counts
    assert (counts["users"], counts["items"], counts["interactions"]) == (453, 147, 2941)
    assert sum(drop.count for drop in core.manifest.drops if drop.what == "interaction") == 2972 - 2941
    assert core.training_popularity.sum() == 2941 - 2 * 453
    assert counts["explanations_train"] > 400
    assert not core.items["title"].str.contains("<|&amp;").any()


def test_real_rows_of_2014(real_data: Path, tmp_path: Path) -> None:
    samples = real_data / "amazon2014-samples"
    source = tmp_path / "in"
    source.mkdir()
    reviews = samples / "reviews_Musical_Instruments_50rows.json"
    (source / "reviews_Musical_Instruments_5.json").symlink_to(reviews)
    raw = read(source, 2014)
    assert len(raw.interactions) == 50
    assert raw.ledger.drops()[0].what == "item"  # that there is no file of items
    first = json.loads(reviews.read_text().splitlines()[0])
    row = raw.interactions.iloc[0]
    assert (row["user"], row["item"], row["timestamp"]) == (first["reviewerID"], first["asin"], first["unixReviewTime"])

    lines = (samples / "meta_rows.json").read_text().splitlines()
    assert len(lines) == 9
    names = [line.partition("'asin': '")[2].partition("'")[0] for line in lines]
    dumps.write_dump(source, 2014, dumps.reviews_of(2014, {"U1": names, "U2": names}), [], "Real")
    (source / "meta_Real.json").write_text("\n".join(lines))
    dataset = build(source, 2014, category="Real")
    assert dataset.manifest.counts["items_with_title"] == 9
    assert item_of(dataset, "0000191639")["title"] == "Dr. Suess 19163 Dr. Seuss Puzzle 3 Pack Bundle"
    assert item_of(dataset, "0000191639")["categories"].tolist() == ["Toys & Games", "Puzzles", "Jigsaw Puzzles"]
    assert item_of(dataset, "B000GDAOUC")["title"] == 'Pr45" Wht Athletic Lace (pack Of 6 Pairs)'
    assert all(len(urls) == 1 and urls[0].startswith("http://") for urls in dataset.items["image_urls"])
