"""Under its final name a file or folder is complete; a failure leaves nothing behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from vip5core import storage
from vip5core.errors import UserError
from vip5core.storage import (
    atomic_file,
    atomic_folder,
    exclusive_lock,
    machine_name,
    remove_leftovers,
    replaced_folder,
    shared_lock,
    writable_folder,
)


def test_a_folder_takes_its_name_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with atomic_folder(target) as aside:
        (aside / "part").write_text("x")
        assert not target.exists()
        assert aside.parent == target.parent  # a rename within one file system
    assert [path.name for path in target.iterdir()] == ["part"]
    assert [path.name for path in target.parent.iterdir()] == ["target"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failed_folder_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "target") as aside:
            (aside / "part").write_text("x")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_of_two_processes_the_faster_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with atomic_folder(target) as slow:
        (slow / "by").write_text("slow")
        with atomic_folder(target) as fast:
            (fast / "by").write_text("fast")
    assert (target / "by").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_file_is_replaced_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "state"
    target.write_text("old")
    with atomic_file(target) as aside:
        aside.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_file_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "state"
    target.write_text("old")

    def fail() -> None:
        with atomic_file(target) as aside:
            aside.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_folder_that_cannot_be_written_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"storage .* cannot be written"):
        writable_folder(tmp_path / "file" / "sub", "storage")
    assert writable_folder(tmp_path / "new" / "folder", "storage").is_dir()
    assert list((tmp_path / "new" / "folder").iterdir()) == []


@pytest.mark.parametrize("make", [atomic_folder, atomic_file, replaced_folder])
def test_a_full_disk_is_reported_in_one_line_and_leaves_what_was_there(
    make: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    target = tmp_path / "there"
    if make is replaced_folder:
        target.mkdir()
    before = list(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"No space left on device.*no incomplete files were left behind"), make(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.rglob("*")) == before


def test_a_folder_is_replaced_in_one_step_or_stays(tmp_path: Path) -> None:
    target = tmp_path / "data"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(KeyboardInterrupt), replaced_folder(target):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "old"]
    with replaced_folder(target) as folder:
        (folder / "new").touch()
        assert (target / "old").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "new"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/3"),
    ],
)
def test_a_full_disk_is_recognised_in_the_errors_of_other_libraries(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(UserError, match="has no room for weights"), atomic_file(tmp_path / "weights"):
        raise error
    with pytest.raises(RuntimeError, match="something else"), atomic_file(tmp_path / "weights"):
        raise RuntimeError("something else")


def test_leftovers_of_killed_processes_are_removed_and_files_of_running_ones_kept(tmp_path: Path) -> None:
    write = (
        "import os, sys; from pathlib import Path; from vip5core.storage import atomic_file, atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1]) / 'folder.1') as f, atomic_file(Path(sys.argv[1]) / 'file') as g:\n"
        "    (f / 'x').write_text('x'); g.write_text('y'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", write, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob(".*.part"))) == 2
    elsewhere = tmp_path / ".file.another.machine-1-0123abcd.part"
    elsewhere.touch()
    with atomic_file(tmp_path / "mine") as aside:
        aside.write_text("z")
        remove_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {aside.name, elsewhere.name}


def test_leftovers_are_recognised_if_the_machine_has_dots_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "node1.cluster.local")
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    (tmp_path / f".x.npy.{machine_name()}-{gone.pid}-0123abcd.part").touch()
    (tmp_path / f".x.npy.local-{gone.pid}-0123abcd.part").touch()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".x.npy.local-{gone.pid}-0123abcd.part"]


@pytest.mark.skipif(not Path("/proc/self/ns/pid").exists(), reason="namespaces are Linux's")
def test_a_container_is_not_the_machine_whose_name_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes have numbers of their own, so that it would call living processes of the machine dead."""
    monkeypatch.setattr("socket.gethostname", lambda: "node1")
    monkeypatch.setattr(storage, "_ALL_PROCESSES", Path("/proc/self/ns/pid").stat().st_ino)
    assert machine_name() == "node1"
    monkeypatch.setattr(storage, "_ALL_PROCESSES", 0)
    assert machine_name() == f"node1-{Path('/proc/self/ns/pid').stat().st_ino}"


def test_a_lock_is_exclusive_until_its_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(2):
        with exclusive_lock(path, "in use"), pytest.raises(UserError, match="in use"), exclusive_lock(path, "in use"):
            pass


def test_a_lock_that_is_shared_keeps_out_who_wants_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    shared, alone = shared_lock(path, "taken"), exclusive_lock(path, "in use")
    with shared, shared_lock(path, "taken"), pytest.raises(UserError, match="in use"), alone:
        pass
    with exclusive_lock(path, "in use"), pytest.raises(UserError, match="taken"), shared_lock(path, "taken"):
        pass


def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(error: Exception) -> Callable[..., None]:
        def acquire(*_: object, **__: object) -> None:
            raise error

        return acquire

    for error in (OSError(errno.ENOLCK, "no locks"), NotImplementedError()):
        monkeypatch.setattr("filelock.FileLock.acquire", refuse(error))
        with exclusive_lock(tmp_path / "lock", "in use"):
            pass
    monkeypatch.setattr("filelock.FileLock.acquire", refuse(OSError(errno.EACCES, "denied")))
    with pytest.raises(OSError, match="denied"), exclusive_lock(tmp_path / "lock", "in use"):
        pass
