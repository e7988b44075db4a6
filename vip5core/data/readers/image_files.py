"""Finds the image files in the folder of a source."""

from __future__ import annotations

import os
from pathlib import Path

from vip5core.data.raw import DropLedger
from vip5core.errors import UserError
from vip5core.picture_formats import ENDINGS, has_other_ending, has_picture_ending


class PictureFolder:
    """The picture files that lie directly in a folder, found by their names without endings.

    Endings may be in capitals. Of several files with one name, that with the first of `ENDINGS` is taken (`1.jpg`
    before `1.png`), and lower case before capitals (`1.jpg` before `1.JPG`).

    Raises:
        UserError: if the folder is there but cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, list[str]] = {}
        self._others: list[str] = []
        self._used: set[str] = set()
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if _is_file(entry))
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except OSError as error:
            raise UserError(f"{str(folder)!r} cannot be read ({error.strerror}): make it readable") from None
        for name in names:
            if has_picture_ending(name):
                self._files.setdefault(Path(name).stem, []).append(name)
            elif has_other_ending(name):
                self._others.append(name)
        for files in self._files.values():
            files.sort(key=_rank)

    def named(self, stem: str, ending: str = "") -> list[str]:
        """The files called `stem`, the best first: with `ending` in either case, or with any of `ENDINGS`."""
        files = self._files.get(stem, [])
        return [name for name in files if Path(name).suffix.lower() == ending.lower()] if ending else files

    def find(self, raw_id: str, ledger: DropLedger) -> Path | None:
        """The picture of an item; None if there is none. That several match is recorded in the ledger."""
        files = self.named(raw_id)
        if not files:
            return None
        self._used.add(files[0])
        add_several(files, ledger)
        return self.folder / files[0]

    def add_unused(self, ledger: DropLedger, used: set[Path] | None = None) -> None:
        """Record in the ledger the files that no item has: those not found here, nor among `used` (resolved paths)."""
        for name in (name for files in self._files.values() for name in files):
            path = self.folder / name
            if name not in self._used and not (used and (path in used or path.resolve() in used)):
                ledger.add("image file", "lies unused: no item that is kept has it", name)
        for name in self._others:
            ledger.add("image file", f"of a format that is not read: convert it to {ENDINGS[0]}", name)


def add_several(files: list[str], ledger: DropLedger) -> None:
    """Record in the ledger that the first of several files is taken."""
    if len(files) > 1:
        ledger.add("image file", "several of one name: one is taken", f"{files[0]}, not {' or '.join(files[1:])}")


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # such as a loop of links
        return False


def _rank(name: str) -> tuple[int, bool, str]:
    ending = Path(name).suffix
    return ENDINGS.index(ending.lower()), ending != ending.lower(), name


def path_inside(folder: Path, name: str, limit: Path | None = None, what: str = "the source's folder") -> Path:
    """The file `name` in a folder, which must really be inside that folder or another.

    Links are followed first: a source from somebody else must not lead to other files of this machine.

    Args:
        folder: the folder.
        name: a path relative to it.
        limit: the folder that the file must be inside; None for `folder`.
        what: what that folder is called in errors.

    Raises:
        NoSuchFile: if there is no such file.
        ValueError: with a short reason, if the path is absolute or leads outside.
    """
    if Path(name).is_absolute():
        raise ValueError("absolute path")
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to((limit or folder).resolve())
        found = inside and path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a NUL in it
        raise NoSuchFile("no such file") from None
    if not inside:
        raise ValueError(f"outside {what}")
    if not found:
        raise NoSuchFile("no such file")
    return path


class NoSuchFile(ValueError):
    """There is no file of this name inside the folder."""
