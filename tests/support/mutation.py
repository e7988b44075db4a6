"""Valid files, damaged at random: a reader prepares a dataset from them, or says what is wrong with the files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hypothesis import strategies as st

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.raw import RawData, ReadRequest
from vip5core.errors import UserError

#: How many examples a test tries; more by VIP5_FUZZ=5000.
EXAMPLES = int(os.environ.get("VIP5_FUZZ", "40"))

#: Pieces of text that formats trip over.
_PIECES = [
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b"\t",
        b",",
        b";",
        b'"',
        b'""',
        b"'",
        b"|",
        b"::",
        b"(",
        b")",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
    ),
    *(b"-1", b"0", b"1e999", b"nan", b"inf", b"99999999999999999999", b"0x10", b"1_0", b"\xd9\xa3", b"\xe9", b"</s>"),
    *(
        b"{",
        b"[",
        b": ",
        b"- ",
        b"&a",
        b"*a",
        b"!!",
        b"%",
        b"../",
        b"/etc/passwd",
        b"http://x",
        b"\x1f\x8b",
        b"now",
        b"03/04/2021",
    ),
]
_INSERTED = st.sampled_from(_PIECES) | st.binary(min_size=1, max_size=8)

Edit = tuple[str, str, float, int, bytes]


def edits(names: Sequence[str]) -> st.SearchStrategy[list[Edit]]:
    """One to four changes: file, kind, where in the file (as a share), how many bytes, and new bytes."""
    kinds = st.sampled_from(["replace", "insert", "delete", "repeat", "truncate"])
    where = st.floats(0, 1, exclude_max=True)
    return st.lists(
        st.tuples(st.sampled_from(names), kinds, where, st.integers(1, 30), _INSERTED), min_size=1, max_size=4
    )


def _edit(data: bytes, kind: str, place: float, length: int, new: bytes) -> bytes:
    start = int(place * len(data))
    before, piece, after = data[:start], data[start : start + length], data[start + length :]
    match kind:
        case "replace":
            return before + new + after
        case "insert":
            return before + new + piece + after
        case "delete":
            return before + after
        case "repeat":
            return before + piece + piece + after
    return before


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def prepares_or_explains(
    read: Callable[[ReadRequest], RawData],
    files: Mapping[str, bytes],
    changes: Sequence[Edit],
    name: str = "fuzz",
    part: str = "",
) -> str:
    """Read `files` after `changes`; returns `dataset` or the error, and fails on anything between."""
    changed = dict(files)
    for file, *edit in changes:
        changed[file] = _edit(changed[file], *edit)
    with tempfile.TemporaryDirectory() as place:
        source, home = write_files(Path(place) / "source", changed), Path(place) / "home"
        try:
            Dataset.load(build_dataset(read(ReadRequest(name, part, source)), home / "out", BuildOptions(candidates=5)))
            outcome, left = "dataset", ["out"]
        except UserError as error:
            outcome, left = str(error), []
        assert "\n" not in outcome
        assert [path.name for path in home.glob("*")] == left
    return outcome
