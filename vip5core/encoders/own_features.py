"""Features of the user's own: where they are, and by what content they are known.

PATH is one of
- `NAME.npy`, a matrix with one row per item, and beside it `NAME.ids.txt` (a raw item id a line) or `NAME.ids.json` (a
  list of them), in the order of the rows;
- a Parquet file with a column of lists of numbers, and a column of raw ids: `raw_id`, or the only other one;
- a folder of `.npy` files of one vector each, named after raw ids, as in the VIP5 release.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vip5core.encoders.files import digests
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint

_IDS = (".ids.txt", ".ids.json")


@dataclass(frozen=True)
class OwnFeatures:
    """Features in files, for items by raw id.

    Attributes:
        path: the path as the user gave it.
    """

    path: str

    @property
    def name(self) -> str:
        """The encoder's name."""
        return f"features:{self.path}"

    @property
    def file(self) -> Path:
        """The file or folder."""
        return Path(self.path).expanduser()

    def files(self) -> list[Path]:
        """The files that the features are read from: the matrix and its ids, one Parquet file, or one file per item.

        Raises:
            UserError: naming what is missing.
        """
        path = self.file
        if path.is_dir():
            found = sorted(path.glob("*.npy"))
            if not found:
                folders = ", ".join(sorted(part.name for part in path.iterdir() if part.is_dir())[:5])
                hint = f"it has the folders {folders}: name one of them" if folders else "name another folder"
                raise UserError(f"encoder {self.name!r}: the folder holds no .npy file, named after raw ids; {hint}")
            return found
        if not path.is_file():
            raise UserError(f"encoder {self.name!r}: there is no such file or folder; check the path")
        if path.suffix == ".parquet":
            return [path]
        if path.suffix != ".npy":
            raise UserError(f"encoder {self.name!r}: must be a .npy or .parquet file, or a folder of .npy files")
        beside = [path.with_name(path.stem + ending) for ending in _IDS]
        ids = [file for file in beside if file.is_file()]
        if not ids:
            raise UserError(
                f"encoder {self.name!r}: the raw item ids of its rows are missing: put them beside it, one a line as "
                f"{beside[0].name}, or in a list as {beside[1].name}"
            )
        return [path, ids[0]]

    def check(self) -> None:
        """Raises: UserError if there are no such features."""
        self.files()

    def fingerprint(self) -> str:
        """The identity of the content; of a folder, with the names of its files, which are the ids."""
        files = self.files()
        return fingerprint("features", digests(files), [file.name for file in files] if self.file.is_dir() else [])
