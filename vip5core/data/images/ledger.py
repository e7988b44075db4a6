"""The ledger of downloaded images: one JSON row per answer, appended at once; the last row of an address counts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from vip5core.errors import UserError

LEDGER = "ledger.jsonl"

_FILE = re.compile(r"[0-9a-f]{32}\.(jpg|png|gif|webp|bmp)")
_LEFTOVER = re.compile(rf"\.{_FILE.pattern}\.[0-9a-f]{{8}}\.part")  # of `atomic_file`, when it was killed


@dataclass(frozen=True)
class Row:
    """One address: an image (`file` to `content_type`), or the `reason` why there is none.

    `final` says that asking again is pointless.
    """

    url: str
    file: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    content_type: str | None = None
    reason: str | None = None
    final: bool = True


def file_name(url: str, ending: str) -> str:
    """The name of the image of `url`: ours alone, so that nothing of an address enters a path."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32] + ending


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk says into a line for the user.

    Raises:
        UserError: for an `OSError` in the block.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the folder of images {str(folder)!r} cannot be written ({error.strerror}): give it space and write "
            "access, or choose another folder, and run again; what is there is kept"
        ) from None


class Ledger:
    """The ledger of one folder, open for one run at a time.

    Attributes:
        rows: the last row of each address.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rows: dict[str, Row] = {}

    def __enter__(self) -> Self:
        """Open, lock and read the ledger, and clear what a killed run left half-written.

        Raises:
            UserError: if another run has it open, or it cannot be written.
        """
        with disk_errors(self._folder):
            self._file = (self._folder / LEDGER).open("ab", buffering=0)
            try:
                self._lock()
                for path in self._folder.iterdir():
                    if _LEFTOVER.fullmatch(path.name):
                        path.unlink(missing_ok=True)
                data = (self._folder / LEDGER).read_bytes()
                if data and not data.endswith(b"\n"):
                    self._append(b"\n")  # ends the torn row, which is no JSON and thereby none
            except BaseException:
                self._file.close()
                raise
        for line in data.splitlines():
            row = _parsed(line)
            if row is not None:
                self.rows[row.url] = row
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def settled(self, url: str, retry_failed: bool) -> bool:
        """Whether `url` need not be asked: its image is there, whole, or it failed for good."""
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
        """Append `row`; it is in the hands of the system when this returns.

        Raises:
            UserError: if the disk does not take it; then nothing of it is left.
        """
        with disk_errors(self._folder):
            self._append(json.dumps(asdict(row)).encode("ascii") + b"\n")
        self.rows[row.url] = row

    def _append(self, line: bytes) -> None:
        before = os.fstat(self._file.fileno()).st_size
        try:
            while line:
                line = line[self._file.write(line) :]  # a disk that fills up takes a part first, and refuses the rest
        except BaseException:
            self._file.truncate(before)
            raise

    def _lock(self) -> None:
        """Two runs at once would ask for everything twice. The lock goes with the process, however it ends."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"the folder of images {str(self._folder)!r} is in use by another download: wait for it, "
                "or choose another folder"
            ) from None
        except OSError:  # a file system without locks
            return


def _parsed(line: bytes) -> Row | None:
    """The row of a line, or None if it is torn or not ours (a file that is not a plain name could lie anywhere)."""
    try:
        row = Row(**json.loads(line))
        return row if row.file is None or _FILE.fullmatch(row.file) else None
    except (ValueError, TypeError):
        return None
