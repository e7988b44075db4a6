"""The ledger of downloaded images: one JSON row per result, appended at once; the last row of an address counts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from vip5core.errors import UserError
from vip5core.picture_formats import FORMATS
from vip5core.storage import exclusive_lock, remove_leftovers

LEDGER = "ledger.jsonl"
LOCK = ".lock"

_FILE = re.compile(rf"[0-9a-f]{{32}}({'|'.join(re.escape(form.endings[0]) for form in FORMATS)})")


@dataclass(frozen=True)
class Row:
    """The result for one address: an image, or the reason why there is none.

    Attributes:
        url: the address, as the source gives it.
        file, sha256, bytes, content_type: the image's file in the folder, and what is in it; None without an image.
        reason: why there is no image; None if there is one.
        final: whether the result is permanent: another request would give the same.
    """

    url: str
    file: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    content_type: str | None = None
    reason: str | None = None
    final: bool = True


def file_name(url: str, ending: str) -> str:
    """The file name of the image of `url`: a hash, so that no part of an address becomes part of a path."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32] + ending


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one for the user.

    Raises:
        UserError: for an `OSError` in the block.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the download folder {str(folder)!r} cannot be written ({error.strerror}): make it writable, free some "
            "disk space or choose another folder, and run again; finished downloads are kept"
        ) from None


class Ledger:
    """The ledger of one download folder; only one run at a time can open it.

    Attributes:
        rows: the last row of each address.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rows: dict[str, Row] = {}

    def __enter__(self) -> Self:
        """Lock, open and read the ledger, and remove the partial files of a killed run.

        Raises:
            UserError: if another run has it open, or it cannot be written.
        """
        with disk_errors(self._folder), ExitStack() as opening:
            opening.enter_context(
                exclusive_lock(
                    self._folder / LOCK,
                    f"the download folder {str(self._folder)!r} is in use by another download: wait for it, or choose "
                    "another folder",
                )
            )
            self._file = opening.enter_context((self._folder / LEDGER).open("ab", buffering=0))
            remove_leftovers(self._folder)
            data = (self._folder / LEDGER).read_bytes()
            if data and not data.endswith(b"\n"):
                self._append(b"\n")  # ends a partial row, which is then invalid JSON and ignored
            self._opened = opening.pop_all()
        for line in data.splitlines():
            row = _parse_row(line)
            if row is not None:
                self.rows[row.url] = row
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def is_settled(self, url: str, retry_failed: bool) -> bool:
        """Whether `url` needs no request: its image is complete on disk, or it failed permanently.

        Args:
            url: the address, as the source gives it.
            retry_failed: whether permanent failures are requested once more.
        """
        row = self.rows.get(url)
        if row is None:
            return False
        if row.file is None:
            return row.final and not retry_failed
        try:
            return (self._folder / row.file).stat().st_size == row.bytes
        except OSError:
            return False

    def add(self, row: Row) -> None:
        """Append `row`; the operating system has it when this returns.

        Raises:
            UserError: if it cannot be written; then no part of it remains.
        """
        with disk_errors(self._folder):
            self._append(json.dumps(asdict(row)).encode("ascii") + b"\n")
        self.rows[row.url] = row

    def _append(self, line: bytes) -> None:
        before = os.fstat(self._file.fileno()).st_size
        try:
            while line:
                line = line[self._file.write(line) :]  # a disk that fills up writes a part before it fails
        except BaseException:
            self._file.truncate(before)
            raise


def _parse_row(line: bytes) -> Row | None:
    """The row on a line; None if it is incomplete, or names a file that is not one of ours (it could be anywhere)."""
    try:
        row = Row(**json.loads(line))
        return row if row.file is None or _FILE.fullmatch(row.file) else None
    except (ValueError, TypeError):
        return None
