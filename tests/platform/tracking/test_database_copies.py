"""Copies of a server's database: whole while it is written, one a day, put back where there is none."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.postgresql import postgresql_server
from vip5platform.tracking.database_copies import (
    KEPT_DAYS,
    DatabaseCopies,
    PostgreSQLDatabase,
    SQLiteDatabase,
    database_of,
)

from vip5core.errors import UserError


def sqlite_with(folder: Path, rows: int) -> SQLiteDatabase:
    database = SQLiteDatabase(folder / "mlflow.db")
    with closing(sqlite3.connect(database.file)) as connection, connection:
        connection.execute("create table runs (a integer, b integer)")
        connection.executemany("insert into runs values (?, ?)", [(i, i) for i in range(rows)])
    return database


def rows_of(file: Path) -> int:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute("select count(*) from runs").fetchone()[0])


@pytest.mark.slow
def test_a_copy_made_while_rows_are_written_is_whole(tmp_path):
    database, stop = sqlite_with(tmp_path, 5000), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database.file, timeout=60)) as connection:
            while not stop.is_set():
                with connection:  # both rows or none
                    connection.execute("insert into runs values (1, 2)")
                    connection.execute("insert into runs values (2, 1)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        names = [DatabaseCopies(database, str(tmp_path / f"copies-{i}")).add() for i in range(5)]
    finally:
        stop.set()
        writer.join()
    for i, name in enumerate(names):
        with closing(sqlite3.connect(tmp_path / f"copies-{i}" / name)) as copy:
            assert copy.execute("select sum(a - b), count(*) >= 5000 from runs").fetchone() == (0, 1)
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_newest_copy_is_put_back_where_there_is_no_database_and_nowhere_else(tmp_path):
    copies = DatabaseCopies(sqlite_with(tmp_path, 3), str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "mlflow-2020-01-01.db").write_bytes(b"an old one")
    newest = copies.add()
    assert copies.restore() is None
    (tmp_path / "new").mkdir()
    there = DatabaseCopies(SQLiteDatabase(tmp_path / "new" / "mlflow.db"), copies.address)
    assert there.restore() == newest
    assert rows_of(tmp_path / "new" / "mlflow.db") == 3
    assert DatabaseCopies(SQLiteDatabase(tmp_path / "x.db"), str(tmp_path / "none")).restore() is None


def test_copies_of_a_week_are_kept_and_other_files_left_alone(tmp_path):
    copies = DatabaseCopies(sqlite_with(tmp_path, 1), str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    for day in range(1, 20):
        (tmp_path / "copies" / f"mlflow-2020-01-{day:02}.db").touch()
    (tmp_path / "copies" / "mine.db").touch()
    newest = copies.add()
    left = sorted(path.name for path in (tmp_path / "copies").iterdir())
    assert left[-KEPT_DAYS:] == [*(f"mlflow-2020-01-{day}.db" for day in range(14, 20)), newest]
    assert left[:-KEPT_DAYS] == ["mine.db"]


def test_a_damaged_database_does_not_replace_its_copy(tmp_path):
    database = sqlite_with(tmp_path, 5000)
    copies = DatabaseCopies(database, str(tmp_path / "copies"))
    name = copies.add()
    with database.file.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 4096)
    with pytest.raises(UserError, match=r"damaged|no copy"):
        copies.add()
    assert rows_of(tmp_path / "copies" / name) == 5000


@pytest.mark.slow
def test_copies_in_an_object_store(tmp_path, bucket):
    copies = DatabaseCopies(sqlite_with(tmp_path, 3), f"{bucket}/copies")
    assert [copies.add(), copies.add()] == copies._names() * 2
    (tmp_path / "new").mkdir()
    there = DatabaseCopies(SQLiteDatabase(tmp_path / "new" / "mlflow.db"), copies.address)
    assert there.restore() == copies._names()[0]
    assert rows_of(tmp_path / "new" / "mlflow.db") == 3


@pytest.mark.slow
def test_copies_of_postgresql(tmp_path):
    with postgresql_server() as psql:
        psql("create database mlflow", "postgres")
        psql("create database other", "postgres")
        psql("create table runs (a integer); insert into runs values (1), (2)", "mlflow")
        copies = DatabaseCopies(PostgreSQLDatabase("postgresql:///mlflow"), str(tmp_path / "copies"))
        name = copies.add()
        assert copies.restore() is None
        there = DatabaseCopies(PostgreSQLDatabase("postgresql:///other"), copies.address)
        assert there.restore() == name
        assert psql("select count(*) from runs", "other") == "2"
        with pytest.raises(UserError, match=r"pg_dump: .*absent"):
            DatabaseCopies(PostgreSQLDatabase("postgresql:///absent"), copies.address).add()


@pytest.mark.parametrize(
    ("kind", "message"),
    [("mysql", "'mysql': give sqlite, postgresql, or an address"), ("postgresql://u:secret@h/d", "no password there")],
)
def test_what_is_no_database_is_refused_without_telling_a_password(kind, message, tmp_path):
    with pytest.raises(UserError, match=message) as refused:
        database_of(kind, tmp_path)
    assert "secret" not in str(refused.value)


def test_sqlite_is_refused_on_a_networks_file_system(tmp_path, monkeypatch):
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4")]
    monkeypatch.setattr("psutil.disk_partitions", lambda **_: mounts)
    with pytest.raises(UserError, match=r"network's file system \(nfs4\)"):
        database_of("sqlite", tmp_path / "mlflow")
    mounts[1].fstype = "xfs"
    assert database_of("sqlite", tmp_path).uri == f"sqlite:///{tmp_path}/mlflow.db"
