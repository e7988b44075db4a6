"""Pinterest as NCF released it: the order of the files, the provided negatives, and what is wrong with a line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from support.mutation import EXAMPLES, Edit, edits, prepares_or_explains, write_files

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.raw import Drop, RawData, ReadRequest
from vip5core.data.readers.pinterest import read_pinterest
from vip5core.errors import UserError

pytestmark = pytest.mark.slow

USERS, ITEMS = 6, 30
TRAIN, TEST, NEGATIVE = "pinterest-20.train.rating", "pinterest-20.test.rating", "pinterest-20.test.negative"


def pins(user: int) -> list[int]:
    """Five pins of a user in order, not that of their numbers; the last is held out."""
    return [(7 * user + 11 * step) % ITEMS for step in range(5)]


def negatives(user: int) -> list[int]:
    return [item for item in range(ITEMS) if item not in pins(user)][:9]


def release() -> dict[str, bytes]:
    """The pins of the users alternate in the file."""
    train = [f"{user}\t{pins(user)[step]}\t1\n" for step in range(4) for user in range(USERS)]
    test = [f"{user}\t{pins(user)[4]}\t1\n" for user in range(USERS)]
    lists = [f"({user},{pins(user)[4]})\t" + "\t".join(map(str, negatives(user))) + "\n" for user in range(USERS)]
    return {name: "".join(lines).encode() for name, lines in ((TRAIN, train), (TEST, test), (NEGATIVE, lists))}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_files(tmp_path / "source", release())


def read(source: Path) -> RawData:
    return read_pinterest(ReadRequest("pinterest", folder=source))


def build(source: Path, out: str = "out") -> Dataset:
    return Dataset.load(build_dataset(read(source), source.parent / out, BuildOptions(candidates=10)))


def raw_history(dataset: Dataset, user: int) -> list[int]:
    number = dataset.users.set_index("raw_id")["user"][str(user)]
    return [int(dataset.items["raw_id"][item - 1]) for item in dataset.history(number)]


def raw_candidates(dataset: Dataset, user: int, split: str = "test") -> set[int]:
    number = dataset.users.set_index("raw_id")["user"][str(user)]
    return {int(dataset.items["raw_id"][item - 1]) for item in dataset.candidates(number, split)}


def drop(dataset: Dataset, what: str) -> Drop:
    return next(drop for drop in dataset.manifest.drops if drop.what == what)


def append(path: Path, *lines: str) -> None:
    path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))


def test_the_order_of_the_files_is_the_order_of_the_pins(source: Path) -> None:
    dataset = build(source)
    counts = dataset.manifest.counts
    assert (counts["users"], counts["interactions"]) == (USERS, 5 * USERS)
    assert [raw_history(dataset, user) for user in range(USERS)] == [pins(user) for user in range(USERS)]
    assert dataset.interactions["timestamp"].tolist() == [0, 1, 2, 3, 4] * USERS
    assert {drop.what for drop in dataset.manifest.drops} == {"title", "image", "negative"}


def test_the_provided_negatives_are_what_the_test_pin_is_ranked_against(source: Path) -> None:
    dataset = build(source)
    known = {int(raw_id) for raw_id in dataset.items["raw_id"]}
    for user in range(USERS):
        provided = set(negatives(user)) & known
        assert len(provided) > 3
        assert provided | {pins(user)[4]} <= raw_candidates(dataset, user)
    assert dataset.manifest.counts["lists_with_provided_negatives"] == USERS


def test_a_time_column_does_not_change_the_order(source: Path) -> None:
    plain = build(source)
    lines = (source / TRAIN).read_text().splitlines()
    (source / TRAIN).write_text("".join(f"{line}\t{900 - place}\n" for place, line in enumerate(lines)))
    assert build(source, "timed").fingerprint == plain.fingerprint


def test_packed_files_and_windows_line_ends_are_the_same_data(source: Path) -> None:
    plain = build(source)
    for name in (TRAIN, TEST, NEGATIVE):
        data = (source / name).read_bytes().replace(b"\n", b"\r\n")
        (source / name).unlink()
        (source / f"{name}.gz").write_bytes(gzip.compress(data))
    assert build(source, "packed").fingerprint == plain.fingerprint


def test_items_are_called_by_number_and_have_the_image_of_their_id(source: Path) -> None:
    (source / "images").mkdir()
    (source / "images" / "11.jpg").write_bytes(b"eleven")
    (source / "images" / "14.PNG").write_bytes(b"fourteen")
    (source / "images" / "99999.jpg").write_bytes(b"of nobody")
    dataset = build(source)
    items = dataset.items.set_index("raw_id")
    unused = [drop.examples for drop in dataset.manifest.drops if drop.what == "image file"]
    assert unused == [["99999.jpg"]]
    assert items["title"].tolist() == [f"item {number}" for number in items["item"]]
    with_image = items[items["image"].notna()]
    assert {raw_id: (source.parent / "out" / image).read_bytes() for raw_id, image in with_image["image"].items()} == {
        "11": b"eleven",
        "14": b"fourteen",
    }


def test_without_the_negatives_all_are_drawn(source: Path) -> None:
    (source / NEGATIVE).unlink()
    dataset = build(source)
    assert dataset.manifest.counts["lists_with_provided_negatives"] == 0
    assert all(len(raw_candidates(dataset, user)) == 10 for user in range(USERS))


def test_broken_pins_are_dropped_counted_and_located(source: Path) -> None:
    broken = ["1\t2", "1,2,1", "x\t2\t1", "1\t-2\t1", "1\t2\tgood", "1\t2\t1x", "9" * 19 + "\t2\t1", "1\t²\t1"]
    append(source / TRAIN, *broken)
    dataset = build(source)
    assert len(dataset.interactions) == 5 * USERS
    assert drop(dataset, "pin").count == len(broken)
    assert drop(dataset, "pin").examples[0] == f"{TRAIN} line {4 * USERS + 1}: 1\t2"


def test_a_list_that_is_broken_or_of_another_pin_is_not_used(source: Path) -> None:
    lines = (source / NEGATIVE).read_text().splitlines()
    held_out = pins(1)[4]
    lines[1] = f"(1,{held_out + 1})\t" + "\t".join(map(str, negatives(1)))
    lines[2] = "(__import__('os').getpid(),2)\t3\t4"
    (source / NEGATIVE).write_text("\n".join(lines))
    dataset = build(source)
    assert dataset.manifest.counts["lists_with_provided_negatives"] == USERS - 2
    drops = {drop.reason: drop.examples[0] for drop in dataset.manifest.drops if drop.what == "negatives"}
    assert drops["not a list for the user's test pin"].startswith(f"{NEGATIVE} line 2: (1,{held_out + 1})")
    assert drops["not (user,item) and item numbers, separated by tabs"].startswith(f"{NEGATIVE} line 3: (__imp")


def test_a_user_with_two_test_pins_or_none_is_counted(source: Path) -> None:
    lines = (source / TEST).read_text().splitlines()
    (source / TEST).write_text("\n".join([*lines[:-1], f"0\t{pins(1)[0]}\t1"]))
    dataset = build(source)
    assert raw_history(dataset, 0) == pins(0)
    assert raw_history(dataset, USERS - 1) == pins(USERS - 1)[:4]
    assert (drop(dataset, "pin").count, drop(dataset, "pin").examples) == (1, ["user 0"])
    assert drop(dataset, "test pin").count == 1


@pytest.mark.parametrize("name", [TRAIN, TEST])
def test_a_missing_empty_or_wrong_file_is_named(source: Path, name: str) -> None:
    (source / name).write_text("<html>\n<body>404\n")
    with pytest.raises(UserError, match=f"{name}': 2 of 2 lines cannot be read as pin"):
        read(source)
    (source / name).write_text("")
    with pytest.raises(UserError, match=f"{name}' is empty"):
        read(source)
    (source / name).unlink()
    with pytest.raises(UserError, match=f"{name}' is missing, and so is {name}.gz: --source must be"):
        read(source)


def test_a_truncated_archive_is_rejected(source: Path) -> None:
    packed = gzip.compress((source / TRAIN).read_bytes())
    (source / TRAIN).unlink()
    (source / f"{TRAIN}.gz").write_bytes(packed[:-20])
    with pytest.raises(UserError, match="broken or truncated gzip file"):
        read(source)


@settings(max_examples=EXAMPLES)
@given(edits([TRAIN, TEST, NEGATIVE]))
@example([(TRAIN, "truncate", 0.0, 1, b"x")])
@example([(TEST, "insert", 0.0, 1, b"\x1f\x8b")])
def test_damaged_files_give_a_dataset_or_an_error_that_says_why(changes: list[Edit]) -> None:
    prepares_or_explains(read_pinterest, release(), changes)
