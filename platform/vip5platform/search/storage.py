"""The storage of a search: one file with a single writer that survives a kill at any time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from vip5core.errors import UserError
from vip5core.fingerprint import canonical_json
from vip5core.home import Home
from vip5core.storage import exclusive_lock
from vip5platform.declarations import Search
from vip5platform.search.space import directions

#: User attributes of a stored search.
DECLARATION, OBJECTIVES = "declaration", "objectives"


@contextmanager
def open_search(search: Search, home: Home, key: str) -> Iterator[optuna.Study]:
    """Open the stored search of this key for writing, or create it.

    Raises:
        UserError: If another process runs it, or it was stored with another declaration.
    """
    path = home.search(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(
        path.with_suffix(".writer"), f"another process runs the search {key!r}: wait until it ends, or stop it"
    ):
        home.fetch(path)
        _remove_incomplete_line(path)
        study = create_or_load(
            search, JournalStorage(JournalFileBackend(str(path), lock_obj=_HeldLock(str(path)))), key
        )
        home.publish(path)
        yield study


def create_or_load(search: Search, storage: optuna.storages.BaseStorage, key: str) -> optuna.Study:
    """The study of a search in a storage, created if missing.

    Raises:
        UserError: If the stored study has another declaration.
    """
    study = optuna.create_study(
        storage=storage, study_name=key, directions=directions(search.objectives), load_if_exists=True
    )
    declaration = canonical_json(search.content())
    if study.user_attrs.get(DECLARATION, declaration) != declaration:
        raise UserError(
            f"search {key!r}: it was started with another space, other objectives or settings; give it another key"
        )
    if DECLARATION not in study.user_attrs:  # new, or interrupted just here
        study.set_user_attr(OBJECTIVES, list(search.objectives))
        study.set_user_attr(DECLARATION, declaration)
    return study


def load_search(home: Home, key: str) -> optuna.Study:
    """Load a stored search for reading, even while it is running.

    Raises:
        UserError: If there is none.
    """
    path = home.search(key)
    if not path.is_file():
        home.fetch(path)
    if not path.is_file():
        raise UserError(f"no search {key!r} in {str(home)!r}: it has not been started there")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=key, storage=JournalStorage(JournalFileBackend(str(path))))


class _HeldLock(JournalFileOpenLock):
    """No lock per line, because the process holds an exclusive lock on the search while it writes.

    Optuna's own lock is a file per write, which a killed process leaves behind and which delays the next one by 30
    seconds.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _remove_incomplete_line(path: Path) -> None:
    """Remove an incomplete last line: Optuna would append to it and then be unable to read the file."""
    if not path.is_file():
        return
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    while whole:
        start = whole.rfind(b"\n", 0, -1) + 1
        try:
            json.loads(whole[start:])
            break
        except ValueError:  # after a power failure, blocks may be allocated but not written
            whole = whole[:start]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
