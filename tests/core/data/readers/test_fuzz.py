"""Amazon dumps and releases damaged at random: each is prepared or rejected in one line, leaving nothing behind.

`VIP5_FUZZ=5000` tries that many examples of each kind.
"""

from __future__ import annotations

import gzip
import os
import pickle
from collections.abc import Sequence

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from support import amazon_dumps as dumps
from support.mutation import Edit, edits, prepares_or_explains
from support.release_folder import feature_file, release_files

from vip5core.data.readers.amazon import read_amazon
from vip5core.data.readers.release import read_release

pytestmark = pytest.mark.slow

MOST = int(os.environ.get("VIP5_FUZZ", "20"))

#: Values of unexpected types.
_ODD_VALUES = [
    *("null", "true", "NaN", "-Infinity", "1e999", "9" * 400, "0x" + "f" * 400, "-1", "0", '""', '" "', '"\\ud800"'),
    *('"\\u0000"', "[]", "{}", "[[[]]]", '[null, {"a": []}]', '{"hi_res": [1, null], "large": {}}', "1j", "b'x'", "()"),
    *("'x'", "__import__('os')", '"../../etc/passwd"', '"<b>&amp;#xD800;"', '"\\u202e"', "1.5e9", '"1,234"'),
]
_LINES = st.sampled_from(
    [
        *(
            b"",
            b" ",
            b"{}",
            b"[]",
            b"1",
            b"null",
            b"\xff\xfe",
            b"\xef\xbb\xbf{}",
            b"\x1f\x8b",
            b"\0" * 9,
            b"[" * 2000,
            b"}",
        ),
        *(
            b"1 2 3 4 5",
            b"1",
            b"99 1 2 3",
            b"1 " + b"9" * 5000,
            b"-1 -2",
            b"{'asin': 'B1'}",
            b"{'a': 0x" + b"f" * 400 + b"+1j}",
        ),
    ]
) | st.binary(max_size=40)

LineEdit = tuple[str, float, bytes, str]

line_edits = st.lists(
    st.tuples(
        st.sampled_from(["drop", "again", "swap", "line", "cut", "value", "key"]),
        st.floats(0, 1, exclude_max=True),
        _LINES,
        st.sampled_from(_ODD_VALUES),
    ),
    max_size=6,
)


def with_edited_lines(data: bytes, changes: Sequence[LineEdit]) -> bytes:
    """Lines left out, repeated, moved, cut, put in; or a value or a key of a record changed."""
    lines = data.split(b"\n")
    for kind, place, line, value in changes:
        at = int(place * len(lines))
        old = lines[at] if lines else b""
        match kind:
            case "drop":
                del lines[at : at + 1]
            case "again":
                lines.insert(at // 2, old)
            case "swap":
                lines[at : at + 2] = lines[at : at + 2][::-1]
            case "line":
                lines.insert(at, line)
            case "cut":
                lines[at : at + 1] = [old[: len(line)]]
            case "value" | "key":
                pairs = old.split(b": ")
                pair = len(line) % len(pairs)
                if kind == "key":
                    pairs[pair] += b"x" if line else b""
                elif pair:
                    rest = pairs[pair].partition(b", ")
                    pairs[pair] = value.encode() + b"".join(rest[1:])
                lines[at : at + 1] = [b": ".join(pairs)]
    return b"\n".join(lines)


def show(outcome: str) -> None:
    """For `--hypothesis-show-statistics`."""
    event("dataset" if outcome == "dataset" else "refused")


@pytest.mark.parametrize("year", dumps.YEARS)
@settings(max_examples=MOST)
@given(data=st.data(), packed=st.booleans())
def test_a_damaged_dump_is_prepared_or_rejected(
    year: int, data: st.DataObject, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = [dumps.reviews_name(year), dumps.meta_name(year)]
    folder = dumps.write_dump(tmp_path_factory.getbasetemp() / f"fuzz{year}", year)
    files = {name: with_edited_lines((folder / name).read_bytes(), data.draw(line_edits)) for name in names}
    if packed:
        files = {f"{name}.gz": gzip.compress(lines, 1, mtime=0) for name, lines in files.items()}
    changes = data.draw(st.just([]) | edits(list(files)))

    show(prepares_or_explains(read_amazon, files, changes, f"amazon-{year}"))


#: Parts that are not all the same.
PARTS = [
    *("sequential_data.txt", "datamaps.json", "user_id2name.pkl", "exp_splits.pkl", "negative_samples.txt"),
    *("meta.json.gz", "item2img_dict.pkl", "photos/B05.jpg", feature_file("ViT-B/32", 1), feature_file("RN50", 2)),
]
TEXTS = ["sequential_data.txt", "datamaps.json", "negative_samples.txt", "meta.json"]

odd_values = st.recursive(
    st.none()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["\ud800", "x" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)


def with_edited_value(value: object, place: float, odd: object) -> object:
    """A nested value with something else somewhere in it."""
    if isinstance(value, dict) and value:
        key = list(value)[int(place * len(value))]
        return value | {key: with_edited_value(value[key], place * 7.3 % 1, odd)}
    if isinstance(value, list) and value:
        at = int(place * len(value))
        return [*value[:at], with_edited_value(value[at], place * 7.3 % 1, odd), *value[at + 1 :]]
    return odd


@settings(max_examples=MOST)
@given(
    data=st.data(),
    missing=st.sets(st.sampled_from(PARTS), max_size=2) | st.just(set()),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    category=st.sampled_from(["", "toys"]),
)
def test_a_damaged_release_is_prepared_or_rejected(
    data: st.DataObject, missing: set[str], protocol: int, category: str
) -> None:
    files = release_files(protocol)
    files["meta.json"] = gzip.decompress(files.pop("meta.json.gz"))
    for name in data.draw(st.sets(st.sampled_from(TEXTS), max_size=2)):
        files[name] = with_edited_lines(files[name], data.draw(line_edits))
    for name in data.draw(st.sets(st.sampled_from([name for name in PARTS if name.endswith(".pkl")]), max_size=2)):
        places = data.draw(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), odd_values), max_size=3))
        value: object = pickle.loads(files[name])
        for place, odd in places:
            value = with_edited_value(value, place, odd)
        files[name] = pickle.dumps(value, protocol)
    files["meta.json.gz"] = gzip.compress(files.pop("meta.json"), 1, mtime=0)
    files = {name: content for name, content in files.items() if name not in missing}
    changes: list[Edit] = data.draw(st.just([]) | edits([name for name in PARTS if name in files]))

    show(prepares_or_explains(read_release, files, changes, "vip5-release", category))
