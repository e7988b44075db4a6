"""A stray quote costs the line it is in, and cells of several lines stay whole."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.mutation import EXAMPLES

from vip5core.data.raw import DropLedger
from vip5core.data.readers.text_files import records
from vip5core.data.readers.text_files.csv_rows import CsvTable

Rows = dict[int, list[str]]


def read(text: str, separator: str = ",", texts: Collection[str] = ()) -> tuple[Rows, dict[str, list[str]]]:
    """The cells by line, and the places of the lines that cannot be read, by reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table"
        path.write_bytes(text.encode())
        table, ledger = CsvTable(path, separator), DropLedger()
        rows = dict(table.rows(table.columns, lambda cells: cells, ledger, "row", texts))
        return rows, {drop.reason: drop.examples for drop in ledger.drops()}


#: What is in a file with the columns `time,user,item` or `item,title`, and what is read: rows by line, bad lines.
UNCLOSED, IN_ITEM = "unclosed quote", "line break in column 'item'"
TRIED: dict[str, tuple[str, str, Sequence[int], dict[str, list[int]]]] = {
    "a quote opens in an id, another closes five lines on": (
        *(",", 'time,user,item\n1,a,"x\n2,a,y\n3,a,z\n4,a,v\n5,a,w\n6,b,x"\n7,a,u\n8,a,t\n'),
        *(range(3, 10), {UNCLOSED: [2]}),
    ),
    "in the first column": (",", 'time,user,item\n1,a,x\n"2,a,y\n3,a,z\n4",a,v\n', [2, 4, 5], {UNCLOSED: [3]}),
    "never closed": (",", 'time,user,item\n1,a,"x\n2,a,y\n3,a,z\n', [3, 4], {UNCLOSED: [2]}),
    "in the last line": (",", 'time,user,item\n1,a,x\n2,a,y\n3,a,"z\n', [2, 3], {UNCLOSED: [4]}),
    "in the last line, without a line break": (",", 'time,user,item\n1,a,x\n2,a,"y', [2], {UNCLOSED: [3]}),
    "in every line": (",", 'time,user,item\n1,a,x\n2,a,y\n3,a,"z\n4,a,"v\n', [2, 3], {UNCLOSED: [4, 5]}),
    "with CRLF": (",", 'time,user,item\r\n1,a,"x\r\n2,a,y\r\n3,a,z"\r\n', [3, 4], {UNCLOSED: [2]}),
    "with blank lines": (",", 'item,title\n\n1,"x\n\n2,y\n\n3,z"\n', [5, 7], {UNCLOSED: [3]}),
    "before proper quotes": (",", 'item,title\n1,"x\n2,"y, ""z"""\n3,""\n', [3, 4], {UNCLOSED: [2]}),
    "a title from three rows": ("\t", 'item\ttitle\n1\t"Big\n2\tLamp\n3\tSmall"\n', [3, 4], {UNCLOSED: [2]}),
    "a title from three rows, one broken": (
        *("\t", 'item\ttitle\n1\t"Big\n2\tLamp\n\t\t\n4\tRed\n5\tSmall"\n'),
        *([3, 5, 6], {UNCLOSED: [2], "3 fields, but the first row has 2": [4]}),
    ),
    "an inch is no quote": ("\t", 'item\ttitle\n1\t5" lamp\n2\tlamp, 6"\n', [2, 3], {}),
    "a quoted id over two lines": (",", 'item,title\n1,x\n"2\n3",y\n', [2, 4], {IN_ITEM: [3]}),
    "text of two lines": (",", 'item,title\n1,"Great lamp\nlight, bright"\n2,x\n', [2, 4], {}),
    "text of two lines with CRLF": (",", 'title,item\r\n"Great\r\nlamp, bright",1\r\nx,2\r\n', [2, 4], {}),
    "text of two lines in TSV": ("\t", 'item\ttitle\n1\t"Great,light\nbright,and ""new"""\n2\tx\n', [2, 4], {}),
    "text of two lines, a cell too few": (
        *(",", 'item,title,note\n1,x,y\n1,"Great\nlamp"\n2,x,y\n3,x,y\n'),
        *([2, 5, 6], {UNCLOSED: [3], "1 fields, but the first row has 3": [4]}),
    ),
}


@pytest.mark.parametrize("case", TRIED)
def test_the_inputs_tried(case: str) -> None:
    separator, text, good, bad = TRIED[case]
    rows, problems = read(text, separator, ["title"])
    assert list(rows) == list(good)
    assert {
        reason: [int(place.split()[2].strip(":")) for place in places] for reason, places in problems.items()
    } == bad


def test_a_line_with_its_quote_shows_its_text() -> None:
    assert read(TRIED["never closed"][1])[1] == {UNCLOSED: ['table line 2: 1,a,"x']}


def test_cells_keep_their_separators_quotes_and_line_breaks() -> None:
    cells = {2: ["1", 'Great, "light"\r\n\r\nand; bright\n'], 6: ["2,3", '"'], 7: ["4", ""]}
    assert read(written([["item", "title"], *cells.values()], ",", "\n", csv.QUOTE_MINIMAL), ",", ["title"]) == (
        cells,
        {},
    )


@pytest.mark.parametrize(("lines", "good"), [(records.MAX_RECORD_LINES, True), (records.MAX_RECORD_LINES + 1, False)])
def test_a_record_has_a_limited_number_of_lines(lines: int, good: bool) -> None:
    rows, problems = read('item,title\n1,"' + "x\n" * (lines - 1) + '"\n' + "2,y\n" * lines, ",", ["title"])
    assert (2 in rows, UNCLOSED in problems) == (good, not good)


def test_open_quotes_take_a_time_that_grows_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, and however far apart, no line is taken more than three times."""
    taken = 0
    take = records.Lines.take

    def count(self: records.Lines) -> tuple[int, str] | None:
        nonlocal taken
        taken += 1
        return take(self)

    monkeypatch.setattr(records.Lines, "take", count)
    for every in (1, 2, 7, 900, 1100):
        rows = [f'{n},"z","w' if n % every == 0 else f'{n},"",""' for n in range(1, 5001)]
        taken = 0
        read("a,b,c\n" + "1,2,3\n" * 5001 + "\n".join(rows))
        assert taken < 3 * 10_010


def written(rows: Sequence[Sequence[str]], separator: str, line_end: str, quoting: int) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, lineterminator=line_end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return file.getvalue()


WORDS = st.sampled_from(["", "a", "b c", " d", '"', '"e"', '5"', ",", ";", "\t", "x,y", ',"', "e\tf ", "; g", '""'])
CELLS = st.lists(WORDS, max_size=3).map("".join)
LINES = st.lists(st.sampled_from(["one", 'two "2"', "three, four", "", ' "five"', "six;"]), min_size=1, max_size=3)
TEXTS = LINES.map(lambda lines: "Text\n" + "\n".join(lines))
STYLES = st.tuples(
    st.sampled_from([",", "\t", ";"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)


def spoil(text: str, start: int, places: Sequence[float]) -> tuple[str, set[int]]:
    """Put quotes into a text after its first `start` characters; returns it, and the lines with such a quote."""
    lines = set()
    for place in sorted((start + int(share * (len(text) - start)) for share in places), reverse=True):
        lines.add(text.count("\n", 0, place) + 1)
        text = f'{text[:place]}"{text[place:]}'
    return text, lines


@settings(max_examples=EXAMPLES)
@given(data=st.data(), style=STYLES, texts=st.booleans())
def test_a_stray_quote_takes_no_other_row_with_it(
    data: st.DataObject, style: tuple[str, str, int], texts: bool
) -> None:
    """One anywhere if cells of any column may hold line breaks; any number, of ids."""
    width = data.draw(st.integers(2, 4))
    rows = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=8, max_size=12))
    head = [f"column {place}" for place in range(width)]
    text = written([head, *rows], *style)
    start = text.index("\n") + 1
    places = data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=1 if texts else 4))
    spoilt, lines = spoil(text, start, places)
    found, _ = read(spoilt, style[0], head if texts else [])
    expected = {line: row for line, row in enumerate(rows, start=2) if line not in lines}
    assert {line: row for line, row in found.items() if line not in lines} == expected


@settings(max_examples=EXAMPLES)
@given(data=st.data(), style=STYLES)
def test_a_stray_quote_takes_no_other_text_of_several_lines_with_it(
    data: st.DataObject, style: tuple[str, str, int]
) -> None:
    width = data.draw(st.integers(2, 4))
    rows = data.draw(st.lists(st.lists(CELLS | TEXTS, min_size=width, max_size=width), min_size=3, max_size=6))
    plain = [["plain"] * width] * 60  # many bad lines, of one long record, would make the file another one
    rows = [*plain, *rows]
    head = [f"column {place}" for place in range(width)]
    separator, _, _ = style
    first_lines = [1 + written([head, *rows[:n]], *style).count("\n") for n in range(len(rows) + 1)]
    text = written([head, *rows], *style)
    expected = dict(zip(first_lines, rows, strict=False))
    assume(read(text, separator, head) == (expected, {}))
    spoilt, (line,) = spoil(text, len(written([head, *plain], *style)), [data.draw(st.floats(0, 1))])
    touched = {row for row, end in zip(first_lines, [*first_lines[1:], 10**9], strict=False) if row <= line < end}
    found, _ = read(spoilt, separator, head)
    kept = {number: row for number, row in expected.items() if number not in touched}
    assert {number: row for number, row in found.items() if number in kept} == kept
