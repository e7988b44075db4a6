"""Copies of the database of an MLflow server: made while it writes, consistent, and put back on a new machine.

A copy is one file a day in a folder or object store, replaced by each later copy of that day: the newest is never old,
and a mistake can be undone days later.
"""

from __future__ import annotations

import contextlib
import datetime
import shutil
import sqlite3
import subprocess
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from vip5core.errors import UserError, first_line
from vip5platform.tracking.recorded import DATABASE

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

#: The names of databases on the command line.
SQLITE, POSTGRESQL = "sqlite", "postgresql"
#: Copies of this many days are kept.
KEPT_DAYS = 7

_OF_THIS_MACHINE = "postgresql:///mlflow"
_NAME = "mlflow-"


class ServerDatabase(ABC):
    """The database of an MLflow server.

    Attributes:
        suffix: How the names of its copies end.
    """

    suffix: ClassVar[str]

    @property
    @abstractmethod
    def uri(self) -> str:
        """Its address for MLflow."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether no server has used it yet."""

    @abstractmethod
    def dump(self, copy: Path) -> None:
        """Write a consistent copy to a file, while a server may be writing."""

    @abstractmethod
    def load(self, copy: Path) -> None:
        """Fill the empty database from a copy."""


@dataclass(frozen=True)
class SQLiteDatabase(ServerDatabase):
    """A file on a disk of this machine."""

    file: Path
    suffix: ClassVar[str] = ".db"

    @property
    def uri(self) -> str:
        """See `ServerDatabase`."""
        return f"{DATABASE}{self.file}"

    def is_empty(self) -> bool:
        """See `ServerDatabase`."""
        return not self.file.exists()

    def dump(self, copy: Path) -> None:
        """See `ServerDatabase`; SQLite starts again where a page changes meanwhile."""
        with (
            contextlib.closing(sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True, timeout=60)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            (answer,) = target.execute("PRAGMA quick_check").fetchone()
        if answer != "ok":
            raise UserError(f"{self.file}: the database is damaged ({answer.splitlines()[0]}): put a copy back")

    def load(self, copy: Path) -> None:
        """See `ServerDatabase`."""
        shutil.copyfile(copy, part := self.file.with_suffix(".part"))
        part.rename(self.file)


@dataclass(frozen=True)
class PostgreSQLDatabase(ServerDatabase):
    """A database of a PostgreSQL server, which the current user may use without a password in its address.

    Attributes:
        address: Its address for PostgreSQL's programs, `postgresql://…`.
    """

    address: str
    suffix: ClassVar[str] = ".dump"

    @property
    def uri(self) -> str:
        """See `ServerDatabase`; it names the driver, because SQLAlchemy's choice changed with its versions."""
        return self.address.replace("postgresql:", "postgresql+psycopg:", 1)

    def is_empty(self) -> bool:
        """See `ServerDatabase`."""
        query = "select count(*) from pg_tables where schemaname = 'public'"
        return (
            _run("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", query, self.address).strip() == "0"
        )

    def dump(self, copy: Path) -> None:
        """See `ServerDatabase`."""
        _run("pg_dump", "--format=custom", f"--file={copy}", self.address)

    def load(self, copy: Path) -> None:
        """See `ServerDatabase`; all of it or nothing."""
        _run("pg_restore", "--no-owner", "--single-transaction", f"--dbname={self.address}", str(copy))


def database_of(kind: str, folder: Path) -> ServerDatabase:
    """The database that a command line names.

    Args:
        kind: `sqlite`, `postgresql` for the database `mlflow` of this machine's server, or an address `postgresql://…`.
        folder: Where the file of SQLite is.

    Raises:
        UserError: for another kind, a password in the address, and a file of SQLite on a network's file system.
    """
    if kind == SQLITE:
        _refuse_network(folder)
        return SQLiteDatabase(folder / "mlflow.db")
    address = _OF_THIS_MACHINE if kind == POSTGRESQL else kind
    if not address.startswith("postgresql://"):
        raise UserError(f"--database {kind!r}: give {SQLITE}, {POSTGRESQL}, or an address postgresql://…")
    if urlsplit(address).password is not None:
        raise UserError("--database postgresql://…: no password there, where `ps` shows it; put it in ~/.pgpass")
    return PostgreSQLDatabase(address)


@dataclass(frozen=True)
class DatabaseCopies:
    """The copies of a database in a folder or object store.

    Attributes:
        database: What is copied.
        address: The absolute path of the folder, or the address of one in an object store that pyarrow knows.
    """

    database: ServerDatabase
    address: str

    def add(self) -> str:
        """Make a copy of now.

        Returns:
            Its name.

        Raises:
            UserError: if the database cannot be read, or the copy not be stored.
        """
        name = f"{_NAME}{datetime.date.today().isoformat()}{self.database.suffix}"
        try:
            with tempfile.TemporaryDirectory() as folder:
                self.database.dump(made := Path(folder) / name)
                self._store(made)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"no copy of the database at {self.address} ({first_line(error)})") from None
        return name

    def restore(self) -> str | None:
        """Fill the database from the newest copy, if it is empty and there is one.

        Returns:
            The name of the copy; None if nothing was done.

        Raises:
            UserError: if the copies cannot be read.
        """
        if not self.database.is_empty():
            return None
        try:
            names = self._names()
            if not names:
                return None
            with tempfile.TemporaryDirectory() as folder:
                (fetched := Path(folder) / names[-1]).touch(mode=0o600)
                files, root = self._place()
                with files.open_input_stream(f"{root}/{names[-1]}") as source, fetched.open("wb") as target:
                    shutil.copyfileobj(source, target)
                self.database.load(fetched)
        except OSError as error:
            raise UserError(f"--storage: the copies at {self.address} cannot be read ({first_line(error)})") from None
        return names[-1]

    def _place(self) -> tuple[FileSystem, str]:
        from pyarrow.fs import FileSystem, LocalFileSystem

        if "://" in self.address:
            files, root = FileSystem.from_uri(self.address)
            return files, root
        return LocalFileSystem(), self.address

    def _names(self) -> list[str]:
        """The names of all copies, the oldest first."""
        from pyarrow.fs import FileSelector

        files, root = self._place()
        found = [info.base_name for info in files.get_file_info(FileSelector(root, allow_not_found=True))]
        return sorted(n for n in found if n.startswith(_NAME) and n.endswith(self.database.suffix))

    def _store(self, made: Path) -> None:
        """Store a file under its name, as a whole, and remove the oldest copies."""
        files, root = self._place()
        files.create_dir(root)
        part = f"{root}/.{made.name}.part"
        with made.open("rb") as source, files.open_output_stream(part) as target:
            shutil.copyfileobj(source, target)
        files.move(part, f"{root}/{made.name}")
        for name in self._names()[:-KEPT_DAYS]:
            files.delete_file(f"{root}/{name}")


def _refuse_network(folder: Path) -> None:
    """Raise a `UserError` for a folder on a network's file system, whose locks SQLite cannot rely on."""
    import psutil

    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    holding = next((mounts[place] for place in [folder, *folder.parents] if place in mounts), "")
    if holding.startswith(("nfs", "cifs", "smb", "ceph", "lustre", "fuse.")):
        raise UserError(
            f"--folder {str(folder)!r} is on a network's file system ({holding}), where SQLite loses data: choose a "
            "folder on a disk of this machine; --storage may be on the network"
        )


def _run(*words: str) -> str:
    """Run a program of PostgreSQL's and return what it prints."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise UserError(
            f"--database {POSTGRESQL}: no {words[0]!r} here; install Debian's package `postgresql`"
        ) from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise UserError(f"{words[0]}: {said[0]}")
    return done.stdout
