"""The picture files that a user's tables name."""

from __future__ import annotations

from pathlib import Path

from vip5core.data.raw import DropLedger
from vip5core.data.readers.image_files import NoSuchFile, PictureFolder, add_several, path_inside
from vip5core.data.readers.tables.mapping import MAPPING, read_mapping
from vip5core.errors import UserError
from vip5core.picture_formats import format_of, has_picture_ending, why_unread

_FIRST_BYTES = 128


def picture_root(source: Path) -> Path | None:
    """The folder of pictures that `columns.yaml` names; None if it names none.

    Raises:
        UserError: if there is no such folder, or the mapping is invalid.
    """
    given = read_mapping(source / MAPPING).images.root
    if given is None:
        return None
    try:
        root = (source / Path(given).expanduser()).resolve()
        if root.is_dir():
            return root
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, an unknown user, a NUL in it
        pass
    raise UserError(
        f"{MAPPING}: images.root={given!r}: not a folder: name that of the pictures, absolute or from {str(source)!r}"
    )


class NamedPictures:
    """Finds pictures by the names that a table gives, inside one folder: the source's, or that of `images.root`.

    A name is that of a file. If there is none, its ending may be in other letters (`1.jpg` finds `1.JPG`), or missing
    (`1` finds `1.jpg` or `1.webp`: see `PictureFolder`). Names are relative to the folder; with a root, they may also
    be relative to the source, where a link leads to the root. Files in a root must begin like pictures: a mapping from
    somebody else must not lead to other files of this machine.

    Args:
        source: the source's folder.
        root: the folder of `images.root`, if any.
        ledger: takes what is unclear or unused.
    """

    def __init__(self, source: Path, root: Path | None, ledger: DropLedger) -> None:
        self.has_root = root is not None
        self._source = source.resolve()
        self._folder = self._source if root is None else root
        self._what = "the source's folder" if root is None else "the folder of images.root"
        self._ledger = ledger
        self._listed: dict[Path, PictureFolder] = {}
        self._used: set[Path] = set()

    def find(self, name: str) -> Path:
        """The file of a picture, with links followed.

        Raises:
            NoSuchFile: if there is none.
            ValueError: with a short reason, if the name is absolute or leads outside the folder, or the file is no
                picture.
        """
        try:
            path = self._find_from(self._folder, name)
        except ValueError as error:
            if not self.has_root:
                raise
            try:
                path = self._find_from(self._source, name)
            except ValueError:
                raise error from None
        self._used.add(path)
        if self.has_root:
            _check_first_bytes(path)
        return path

    def _find_from(self, start: Path, name: str) -> Path:
        try:
            return path_inside(start, name, self._folder, self._what)
        except NoSuchFile:
            return path_inside(start, self._similar(start, name), self._folder, self._what)

    def _similar(self, start: Path, name: str) -> str:
        """The name of a file that differs from `name` in its ending alone; `name` itself if there is none."""
        last = Path(name)
        try:
            parent = (start / name).parent.resolve()
        except (OSError, RuntimeError, ValueError):
            return name
        if not parent.is_relative_to(self._folder):
            return name
        listed = self._list(parent)
        found = listed.named(last.name) or (
            listed.named(last.stem, last.suffix) if has_picture_ending(last.name) else []
        )
        add_several(found, self._ledger)
        return str(last.with_name(found[0])) if found else name

    def add_unused(self) -> None:
        """Record in the ledger the picture files that no item has, in the root and beside those that were found."""
        for folder in sorted({path.parent for path in self._used} | ({self._folder} if self.has_root else set())):
            self._list(folder).add_unused(self._ledger, self._used)

    def _list(self, folder: Path) -> PictureFolder:
        if folder not in self._listed:
            self._listed[folder] = PictureFolder(folder)
        return self._listed[folder]


def _check_first_bytes(path: Path) -> None:
    """Raises: ValueError with a short reason, if a file does not begin like a picture or cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_FIRST_BYTES)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if format_of(data) is None:
        raise ValueError(why_unread(data) if data else "empty file")
