"""Reads text dumps line by line, gzip or plain, in bounded memory, and records the place of every bad line."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from vip5core.data.raw import DropLedger
from vip5core.errors import UserError

#: The longest line that is read, in bytes; the longest lines of the Amazon dumps have some tens of thousands.
MAX_LINE = 1024 * 1024
#: Characters of a bad line that the ledger shows.
_SHOWN = 80

T = TypeVar("T")


class BadLine(ValueError):
    """Why a line cannot be used."""


@contextmanager
def open_dump(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed if its first bytes are gzip's, whatever its name.

    Raises:
        UserError: if it is missing, unreadable or empty, or found truncated or broken while it is read.
    """
    try:
        with path.open("rb") as file:
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            if not file.peek(1):
                raise UserError(f"{str(path)!r} is empty: download it again")
            yield cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 20)) if packed else file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{str(path)!r} is a broken or truncated gzip file ({error}): download it again") from None
    except FileNotFoundError:
        raise UserError(f"{str(path)!r} is missing: check --source") from None
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read ({error.strerror or error}): check --source") from None


def read_lines(
    path: Path, parse: Callable[[str], T | None], ledger: DropLedger | None, what: str, encoding: str = "utf-8"
) -> Iterator[T]:
    """Read a file line by line and yield what `parse` returns; blank lines are skipped.

    A line that is too long, not in the encoding, or rejected by `parse` is dropped and counted with its place. One line
    at a time is in memory, and at most `MAX_LINE` bytes of it.

    Args:
        path: the text file, gzip or plain.
        parse: turns a line into a record, or into None if it is not wanted; raises `BadLine`.
        ledger: takes the drops; None on a second reading of the same file, which has the same drops.
        what: the kind of record, for the ledger.
        encoding: the encoding of the text.

    Raises:
        UserError: if the file cannot be read, or has more bad lines than good ones, and so must be another file.
    """
    good = bad = 0
    first_problem = ""
    with open_dump(path) as file:
        for number, line in _read_bounded(file):
            try:
                if line is None:
                    raise BadLine(f"longer than {MAX_LINE // 2**20} MiB")
                text = _decode(line, encoding)
                if not text.strip():
                    continue
                record = parse(text)
            except BadLine as error:
                bad += 1
                shown = (line or b"")[:_SHOWN].decode(encoding, "replace").strip()
                place = f"{path.name} line {number}: {shown}"
                first_problem = first_problem or f"line {number}: {error}"
                if ledger is not None:
                    ledger.add(what, str(error), place)
            else:
                good += 1
                if record is not None:
                    yield record
    if bad > good or not good:
        raise UserError(
            f"{str(path)!r}: {bad} of {good + bad} lines cannot be read as {what} ({first_problem or 'blank'}): "
            "is it the right file?"
        )


def _read_bounded(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield line number and line, or None for a line that is too long, which is skipped in pieces."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield number, None
        else:
            yield number, line


def _decode(line: bytes, encoding: str) -> str:
    try:
        return line.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError:
        raise BadLine(f"not {encoding} text") from None
