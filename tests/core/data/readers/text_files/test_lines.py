"""Dumps are read line by line: bad lines are dropped with their place, or the file is rejected."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vip5core.data.raw import DropLedger
from vip5core.data.readers.text_files import lines
from vip5core.data.readers.text_files.lines import BadLine, open_dump, read_lines
from vip5core.errors import UserError

NUMBERS = b"1\n2\n3\n4\n5\n"


def number(line: str) -> int:
    try:
        return int(line)
    except ValueError:
        raise BadLine("not a number") from None


def write_file(folder: Path, data: bytes, packed: bool = False) -> Path:
    path = folder / "numbers.txt"
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


def read(path: Path, encoding: str = "utf-8") -> tuple[list[int], DropLedger]:
    ledger = DropLedger()
    return list(read_lines(path, number, ledger, "number", encoding)), ledger


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "data",
    [
        NUMBERS,
        NUMBERS.rstrip(),
        NUMBERS.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + NUMBERS,
        b"\n \n" + NUMBERS.replace(b"3", b"\t\n3") + b"\n\n",
    ],
    ids=["ends with a newline", "ends without one", "CRLF", "byte order mark", "blank lines"],
)
def test_every_number_is_read_and_nothing_is_dropped(data: bytes, packed: bool, tmp_path: Path) -> None:
    numbers, ledger = read(write_file(tmp_path, data, packed))
    assert numbers == [1, 2, 3, 4, 5]
    assert ledger.drops() == []


def test_gzip_is_known_by_its_bytes_whatever_the_name(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.gz", tmp_path / "packed"
    plain.write_bytes(NUMBERS)
    packed.write_bytes(gzip.compress(NUMBERS[:4]) + gzip.compress(NUMBERS[4:]))  # in two members
    assert read(plain)[0] == read(packed)[0] == [1, 2, 3, 4, 5]


def test_bad_lines_are_dropped_and_counted_by_reason_with_their_places(tmp_path: Path) -> None:
    numbers, ledger = read(write_file(tmp_path, b"1\n\ntwo\n3\n\xff\xfe4\n5\nsix" + b"x" * 500 + b"\n7\n8\n"))
    assert numbers == [1, 3, 5, 7, 8]
    drops = {drop.reason: drop for drop in ledger.drops()}
    assert {reason: (drop.what, drop.count) for reason, drop in drops.items()} == {
        "not a number": ("number", 2),
        "not utf-8 text": ("number", 1),
    }
    assert drops["not a number"].examples == ["numbers.txt line 3: two", "numbers.txt line 7: six" + "x" * 77]
    assert drops["not utf-8 text"].examples == ["numbers.txt line 5: \ufffd\ufffd4"]


def test_a_second_reading_without_a_ledger_gives_the_same(tmp_path: Path) -> None:
    path = write_file(tmp_path, b"1\ntwo\n3\n")
    assert list(read_lines(path, number, None, "number")) == read(path)[0] == [1, 3]


def test_a_record_that_is_not_wanted_is_no_bad_line(tmp_path: Path) -> None:
    ledger = DropLedger()
    even = read_lines(
        write_file(tmp_path, NUMBERS), lambda line: None if int(line) % 2 else int(line), ledger, "number"
    )
    assert list(even) == [2, 4]
    assert ledger.drops() == []


def test_text_in_another_encoding_is_read_in_that_encoding(tmp_path: Path) -> None:
    path = write_file(tmp_path, "1\nzwölf\n3\n4\n5\n".encode("latin-1"))
    numbers, ledger = read(path, "latin-1")
    assert numbers == [1, 3, 4, 5]
    assert [drop.reason for drop in ledger.drops()] == ["not a number"]
    assert [drop.reason for drop in read(path)[1].drops()] == ["not utf-8 text"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_file_in_a_wide_encoding_is_rejected(encoding: str, tmp_path: Path) -> None:
    assert "lines cannot be read as number" in refusal(write_file(tmp_path, NUMBERS.decode().encode(encoding)))


@pytest.mark.parametrize("kept", [4, 12, 20, -9, -1])
def test_a_truncated_gzip_is_rejected(kept: int, tmp_path: Path) -> None:
    path = write_file(tmp_path, NUMBERS * 500, packed=True)
    path.write_bytes(path.read_bytes()[:kept])
    assert "broken or truncated gzip file" in refusal(path)


@pytest.mark.parametrize("place", [-6, -2, 2, 14])
def test_a_damaged_gzip_is_rejected(place: int, tmp_path: Path) -> None:
    path = write_file(tmp_path, NUMBERS * 500, packed=True)
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF  # checksum, length, method of compression, packed data
    path.write_bytes(data)
    assert "broken or truncated gzip file" in refusal(path)


def test_garbage_after_a_gzip_is_rejected(tmp_path: Path) -> None:
    path = write_file(tmp_path, NUMBERS, packed=True)
    path.write_bytes(path.read_bytes() + b"rubbish")
    assert "broken or truncated gzip file" in refusal(path)


def test_a_missing_or_empty_file_or_a_folder_is_rejected(tmp_path: Path) -> None:
    assert "numbers.txt' is missing: check --source" in refusal(tmp_path / "numbers.txt")
    assert "is empty: download it again" in refusal(write_file(tmp_path, b""))
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    assert "cannot be read" in refusal(tmp_path / "numbers.txt" / "inside a file")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_of_blank_lines_is_rejected(packed: bool, tmp_path: Path) -> None:
    assert "0 of 0 lines cannot be read as number (blank)" in refusal(write_file(tmp_path, b"\n \n\r\n", packed))


def test_a_gzip_of_nothing_is_rejected(tmp_path: Path) -> None:
    assert "is it the right file?" in refusal(write_file(tmp_path, b"", packed=True))


def test_a_file_with_more_bad_lines_than_good_is_not_the_right_one(tmp_path: Path) -> None:
    assert read(write_file(tmp_path, b"1\n2\nx\ny\n"))[0] == [1, 2]
    message = refusal(write_file(tmp_path, b"1\nx\n2\ny\nz\n"))
    assert "3 of 5 lines cannot be read as number (line 2: not a number): is it the right file?" in message


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("end", [b"\n", b""], ids=["in the middle", "at the end"])
@pytest.mark.parametrize("length", [1025, 1500, 2048, 2049, 2050, 5000])
def test_a_line_that_is_too_long_is_dropped_and_the_next_is_read(
    length: int, end: bytes, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 1024)
    after = b"7\n8\n" if end else b""
    numbers, ledger = read(write_file(tmp_path, NUMBERS + b"6" * length + end + after, packed))
    assert numbers == [1, 2, 3, 4, 5] + [7, 8] * bool(end)
    (drop,) = ledger.drops()
    assert drop.reason.startswith("longer than")
    assert [place.partition(":")[0] for place in drop.examples] == ["numbers.txt line 6"]


@pytest.mark.parametrize("end", [b"\n", b"\n7\n", b""], ids=["ends the file", "in the middle", "no newline"])
def test_the_longest_line_is_read(end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 1024)
    numbers, ledger = read(write_file(tmp_path, b"5\n" + b" " * (1024 - len(end[:1]) - 1) + b"6" + end))
    assert numbers == [5, 6] + [7] * (len(end) > 1)
    assert ledger.drops() == []


def test_a_reader_that_stops_early_closes_the_file(tmp_path: Path) -> None:
    path = write_file(tmp_path, NUMBERS)
    rows = read_lines(path, number, None, "number")
    assert next(rows) == 1
    rows.close()  # type: ignore[attr-defined]
    with open_dump(path) as file:
        pass
    assert file.closed


@pytest.mark.slow
def test_a_line_of_300_megabytes_takes_the_memory_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"1\n2\n")
        for _ in range(300):
            file.write(b"x" * 2**20)
        file.write(b"\n3\n")
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from vip5core.data.readers.text_files.lines import MAX_LINE, read_lines\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak()\n"
        "print(list(read_lines(Path(sys.argv[1]), int, None, 'number')), (peak() - before) / MAX_LINE)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    numbers, _, longest_lines = done.stdout.rpartition(" ")
    assert numbers == "[1, 2, 3]"
    assert float(longest_lines) < 6
