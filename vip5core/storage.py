"""Write under a temporary name, then rename: a file or folder under its final name is always complete."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from vip5core.errors import DiskFullError, UserError

#: How libraries with errors of their own report a full disk: safetensors and torch.save.
_SIGNS_OF_A_FULL_DISK = ("os error 28", "PytorchStreamWriter failed writing")

#: The errors of file systems that have no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)

#: The number that Linux gives the namespace of all processes of a machine.
_ALL_PROCESSES = 0xEFFFFFFC

_WRITER = re.compile(r"-(\d+)-[0-9a-f]{8}\.part$")


def writable_folder(path: Path, purpose: str) -> Path:
    """Create `path` and check that it can be written.

    Raises:
        UserError: if it cannot be created or written.
    """
    probe = path / f".probe-{uuid.uuid4().hex}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{purpose} {str(path)!r} cannot be written ({error.strerror}): choose a folder that you may write to"
        ) from None
    return path.resolve()


def _aside(target: Path) -> Path:
    """A temporary name beside `target` that records the machine and process that write it."""
    return target.parent / f".{target.name}.{machine_name()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.part"


def remove_leftovers(folder: Path) -> None:
    """Remove the incomplete files and folders in `folder` that killed processes of this machine left behind."""
    for path in folder.glob(".*.part"):
        found = _WRITER.search(path.name)
        ours = found and path.name[: found.start()].endswith(f".{machine_name()}")
        if found and ours and not process_alive(int(found[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def machine_name() -> str:
    """The name of this machine for others that may share its folders; of a container, if it sees only its processes.

    Within one name, processes have different ids, and `process_alive` knows all of them.
    """
    try:
        processes = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no Linux
        return socket.gethostname()
    return socket.gethostname() if processes == _ALL_PROCESSES else f"{socket.gethostname()}-{processes}"


def process_alive(process: int) -> bool:
    """Does a process with this id run on this machine?"""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


@contextmanager
def _space_for(target: Path) -> Iterator[None]:
    """Turn the errors of a full disk into one for the user; others pass unchanged.

    Raises:
        DiskFullError: if the disk or a quota is full.
    """
    try:
        yield
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and not any(sign in str(error) for sign in _SIGNS_OF_A_FULL_DISK):
            raise
        reason = error.strerror if isinstance(error, OSError) else "No space left on device"
        raise DiskFullError(
            f"{str(target.parent)!r} has no room for {target.name} ({reason}): free some space or choose "
            "another folder, and run the same command again; no incomplete files were left behind"
        ) from None


@contextmanager
def folder_aside(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`, which is removed at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(target)
    aside.mkdir()
    try:
        with _space_for(target):
            yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that is renamed to `target` if the block succeeds, and removed if it fails.

    If `target` exists by then (another process was faster with the same content), it is left as it is.
    """
    with folder_aside(target) as aside:
        yield aside
        try:
            aside.rename(target)
        except OSError:
            if not target.is_dir():
                raise


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `target` if the block succeeds, and is removed if it fails."""
    aside = _aside(target)
    before = aside.with_suffix(".old")
    aside.mkdir()
    try:
        with _space_for(target):
            yield aside
        target.rename(before)
        aside.rename(target)
    finally:
        if before.is_dir() and not target.is_dir():
            before.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `target` if the block succeeds, and is removed if it fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = _aside(target)
    try:
        with _space_for(target):
            yield aside
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def shared_lock(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock on the file `path` together with others, but not while one holds it by `exclusive_lock`.

    The system releases it when this process ends, however it ends; on a file system without locks nothing is locked.

    Args:
        path: The lock file; it is not removed afterwards.
        refusal: The message for the user if a process holds the lock for itself.

    Raises:
        UserError: if one does.
    """
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(refusal) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield


@contextmanager
def exclusive_lock(path: Path, refusal: str) -> Iterator[None]:
    """Hold a lock on the file `path`; the system releases it when this process ends, however it ends.

    On a file system without locks nothing is locked, and avoiding clashes is up to the user.

    Args:
        path: The lock file; it is not removed afterwards.
        refusal: The message for the user if another process holds the lock.

    Raises:
        UserError: if another process holds the lock.
    """
    lock = filelock.FileLock(path, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UserError(refusal) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
