"""Folders and files in an object store (S3, Google Cloud Storage, …), each complete or not there at all.

What is put under a name becomes two objects, the second of which is small and written last:

    trials/{fingerprint}.{random}.tar    the content
    trials/{fingerprint}.json            which of these it is, its size and its sha256

Readers start at the second. An upload that was cut has none, or the one of before, and is never seen.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import shutil
import tarfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import filelock
from pydantic import BaseModel, ConfigDict

from vip5core.errors import UserError, first_line
from vip5core.storage import folder_aside

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

Result = TypeVar("Result")

#: What stores say of a request that will not do better in a second try.
_REFUSALS = (
    "NO_SUCH_BUCKET",
    "Bucket not found",
    "bucket does not exist",
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "HTTP status 301",
    "HTTP status 400",
    "HTTP status 403",
    "Permanent error",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
)
_LONGEST_PAUSE_S = 30.0
#: The file or folder in a tar.
_MEMBER = "content"
#: Parts of a tar are read and written in pieces of this size, in bytes.
_PIECE = 2**20
#: No upload takes longer: what no manifest names after that was cut.
_CUT_AFTER = timedelta(days=1)
#: Small objects have this size in bytes, because readers ask for the size first: of an object that is replaced by a
#: longer one right then, they would get the start.
_SMALL = 1024
#: Small objects are fetched this many at a time.
_AT_ONCE = 8


class StoreError(UserError):
    """The store refuses, or has failed for too long."""


class Pack(BaseModel):
    """Which object holds the content of a name.

    Attributes:
        pack: The name of the tar.
        size: Its size in bytes.
        sha256: The hash of its bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pack: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ObjectStore:
    """An object store, through pyarrow's file systems; credentials are found in the usual ways of each cloud.

    Attributes:
        address: Where it is, such as `s3://bucket/folder`.
        patience_s: The seconds for which a failing request is tried again, with growing pauses.
        sleep: Waits between tries.
    """

    address: str
    patience_s: float = 300.0
    sleep: Callable[[float], None] = time.sleep
    _current: set[str] = field(default_factory=set, compare=False, repr=False)

    def check(self) -> None:
        """Write, read and remove an object.

        Raises:
            StoreError: if that cannot be done, in one try.
        """
        probe, now = f".probe-{uuid.uuid4().hex}", ObjectStore(self.address, patience_s=0.0)
        now.write(probe, b"vip5")
        now.read(probe)
        now.remove(probe)

    def put(self, path: Path, name: str) -> None:
        """Store a file or folder under `name`, in place of what is there.

        Raises:
            StoreError: see `StoreError`.
        """
        with _locked(path):
            self._put(path, name)

    def _put(self, path: Path, name: str) -> None:
        before, pack = self._find(name), f"{name}.{uuid.uuid4().hex}.tar"
        size, sha256 = self._persist(lambda: self._upload(path, pack))
        self.write(f"{name}.json", Pack(pack=pack, size=size, sha256=sha256).model_dump_json().encode())
        _note(path).write_text(pack, "utf-8")
        if path.is_dir():
            self._current.add(name)
        if before is not None:
            self.remove(before.pack)

    def get(self, name: str, path: Path) -> None:
        """Make `path` what is stored under `name`; if nothing is, no copy of it is at `path` afterwards.

        What is at `path` and is no copy was completed by a process of this machine that has not put it yet, or was
        killed before: if nothing is stored, it is put.

        A folder that is here is not asked for again by this object: folders are written once.

        Raises:
            StoreError: see `StoreError`, or if the content is damaged.
        """
        if name in self._current and path.is_dir():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):  # one process of a machine fetches it for all
            self._fetch(name, path)
        if path.is_dir():
            self._current.add(name)

    def delete(self, name: str) -> None:
        """Remove what is stored under `name`, if anything is."""
        self._current.discard(name)
        found = self._find(name)
        if found is not None:
            self.remove(f"{name}.json")
            self.remove(found.pack)

    def get_all(self, folder: str, pattern: str, place: Path) -> None:
        """Make each name in `folder` that matches `pattern` one in `place`."""
        names = [name for name in self._names(folder) if fnmatch.fnmatchcase(name, pattern)]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(lambda name: self.get(f"{folder}/{name}", place / name), names))

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in `folder`."""
        return [info.base_name for info in self._list(folder) if not info.is_file]

    def remove_leftovers(self, folder: str) -> None:
        """Remove what cut uploads left in `folder`: tars that are old and named by nothing."""
        limit = datetime.now(UTC) - _CUT_AFTER
        old = [info.base_name for info in self._list(folder) if info.extension == "tar" and info.mtime < limit]
        packs: dict[str, list[str]] = {}
        for pack in old:
            packs.setdefault(pack.rsplit(".", 2)[0], []).append(pack)
        named = set(self._names(folder))
        for name, tars in packs.items():
            if name in named and len(tars) == 1:  # as it should be: not worth a request
                continue
            found = self._find(f"{folder}/{name}")
            for pack in tars:
                if found is None or found.pack != f"{folder}/{pack}":
                    self.remove(f"{folder}/{pack}")

    def read(self, name: str) -> bytes | None:
        """The bytes of one object; None if there is none."""

        def action() -> bytes:
            files, root = self._files
            with files.open_input_stream(f"{root}/{name}") as stream:
                return stream.read()

        try:
            return self._persist(action)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write one small object, with blanks at its end, which mean nothing in JSON."""

        def action() -> None:
            files, root = self._files
            with files.open_output_stream(f"{root}/{name}") as stream:
                stream.write(data.ljust(_SMALL))

        self._persist(action)

    def remove(self, name: str) -> None:
        """Remove one object, if it is there."""
        try:
            self._persist(lambda: self._files[0].delete_file(f"{self._files[1]}/{name}"))
        except FileNotFoundError:
            return

    @functools.cached_property
    def _files(self) -> tuple[FileSystem, str]:
        """The file system, and the path in it."""
        from pyarrow.fs import FileSystem  # late, because most homes are folders

        files, root = FileSystem.from_uri(self.address)
        return files, root

    def _persist(self, action: Callable[[], Result]) -> Result:
        """Do `action`, again and again while the store fails; errors of local files pass unchanged."""
        waited, pause = 0.0, 1.0
        while True:
            try:
                return action()
            except OSError as error:
                if error.errno is not None:
                    raise
                if waited >= self.patience_s or any(sign in str(error) for sign in _REFUSALS):
                    raise StoreError(f"--home {self.address!r} cannot be used: {first_line(error)}") from None
            self.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, _LONGEST_PAUSE_S)

    def _find(self, name: str) -> Pack | None:
        data = self.read(f"{name}.json")
        return None if data is None else Pack.model_validate_json(data)

    def _list(self, folder: str) -> list[FileInfo]:
        from pyarrow.fs import FileSelector

        def action() -> list[FileInfo]:
            files, root = self._files
            found: list[FileInfo] = files.get_file_info(FileSelector(f"{root}/{folder}", allow_not_found=True))
            return found

        return self._persist(action)

    def _names(self, folder: str) -> list[str]:
        return [info.base_name.removesuffix(".json") for info in self._list(folder) if info.extension == "json"]

    def _upload(self, path: Path, pack: str) -> tuple[int, str]:
        files, root = self._files
        with files.open_output_stream(f"{root}/{pack}") as stream:
            measured: Any = _Measured(stream)
            with tarfile.open(fileobj=measured, mode="w|", bufsize=_PIECE, dereference=True) as tar:
                tar.add(path, arcname=_MEMBER)
        return measured.size, measured.hash.hexdigest()

    def _fetch(self, name: str, path: Path) -> None:
        found, tried = self._find(name), None
        while found is not None and found != tried and not (path.exists() and _noted(path) == found.pack):
            try:
                return self._persist(functools.partial(self._download, found, path))
            except FileNotFoundError:  # it was replaced after the manifest was read
                found, tried = self._find(name), found
        if found is None or found == tried:  # nothing, or nothing that can be had
            if path.exists() and not _noted(path):
                self._put(path, name)
            else:
                remove_copy(path)

    def _download(self, found: Pack, path: Path) -> None:
        files, root = self._files
        with folder_aside(path) as aside:
            with files.open_input_stream(f"{root}/{found.pack}") as stream:
                measured: Any = _Measured(stream)
                try:
                    with tarfile.open(fileobj=measured, mode="r|", bufsize=_PIECE) as tar:
                        tar.extractall(aside, filter="data")
                except tarfile.TarError:
                    pass  # its hash differs
                while measured.read(_PIECE):
                    pass
            if (measured.size, measured.hash.hexdigest()) != (found.size, found.sha256):
                raise StoreError(
                    f"{self.address}/{found.pack} is damaged: remove it there and the .json beside it, and run again"
                )
            remove_copy(path)
            (aside / _MEMBER).rename(path)
            _note(path).write_text(found.pack, "utf-8")


class _Measured:
    """A stream that knows the size and hash of what went through it."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.size, self.hash = stream, 0, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data: bytes = self.stream.read(size)
        self._measure(data)
        return data

    def write(self, data: bytes) -> None:
        self.stream.write(data)
        self._measure(data)

    def _measure(self, data: bytes) -> None:
        self.size += len(data)
        self.hash.update(data)


def _note(path: Path) -> Path:
    """The file beside `path` that says which pack it is a copy of."""
    return path.with_name(f".{path.name}.pack")


def _noted(path: Path) -> str:
    return _note(path).read_text("utf-8") if _note(path).is_file() else ""


def _locked(path: Path) -> filelock.BaseFileLock:
    """Keeps other processes of this machine from fetching and putting `path`."""
    return filelock.FileLock(path.parent / f".{path.name}.lock")


def remove_copy(path: Path) -> None:
    """Remove a file or folder, if it is there, and the note that it is a copy: what is made there next is none."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)
