"""Where a search is kept: one file, written by one process, whole after any kill."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from vip5core.errors import UserError
from vip5core.fingerprint import canonical_json, code_version, fingerprint
from vip5platform.declarations import Search
from vip5platform.search.space import directions

#: User attributes of a stored search.
DECLARATION, OBJECTIVES = "declaration", "objectives"


def search_key(search: Search, *ground: str) -> str:
    """What a search is known by: its declaration, the `ground` that its trials share, and the code.

    Seed and budget do not count: a search that is run again with a larger budget goes on. Nor do name and question.

    Args:
        ground: fingerprints of the dataset and the backbone, settings from the command line, …
    """
    return fingerprint("search", _declaration(search), list(ground), code_version())


def search_file(home: Path, key: str) -> Path:
    return home / "searches" / f"{key}.log"


def open_search(search: Search, home: Path, key: str) -> tuple[optuna.Study, OneWriter]:
    """The stored search of this key to write to, new or as it was left.

    Raises:
        UserError: if another process writes to it, or if the stored search is another one.
    """
    path = search_file(home, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = OneWriter(path)
    try:
        _mend(path)
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
        return declared(search, storage, key), lock
    except BaseException:
        lock.close()
        raise


def declared(search: Search, storage: optuna.storages.BaseStorage, key: str) -> optuna.Study:
    """The study of `search` in `storage`.

    Raises:
        UserError: if a study of this key is there that was declared otherwise.
    """
    study = optuna.create_study(
        storage=storage, study_name=key, directions=directions(search.objectives), load_if_exists=True
    )
    declaration = canonical_json(_declaration(search))
    if study.user_attrs.get(DECLARATION, declaration) != declaration:
        raise UserError(
            f"search {key!r}: its space, objectives or settings were others when it was started; give it another key"
        )
    if DECLARATION not in study.user_attrs:  # new, or cut off just here
        study.set_user_attr(OBJECTIVES, list(search.objectives))
        study.set_user_attr(DECLARATION, declaration)
    return study


def load_search(home: Path, key: str) -> optuna.Study:
    """A stored search, to be read; it may be running.

    Raises:
        UserError: if there is none.
    """
    path = search_file(home, key)
    if not path.is_file():
        raise UserError(f"no search {key!r} under {str(home)!r}: it has not been started there")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=key, storage=JournalStorage(JournalFileBackend(str(path))))


class OneWriter(JournalFileOpenLock):
    """The right to write a journal, for as long as a process lives.

    Optuna locks for each line by creating a file, which stays when the process is killed and holds up the next one for
    30 seconds. The kernel's lock goes with its process.

    Raises:
        UserError: if another process has it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._file = path.with_suffix(".writer").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(f"another process runs the search {path.stem!r}: wait for it, or end it") from None
        except OSError:  # a file system without locks: then it is up to the user
            pass

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()


def _mend(path: Path) -> None:
    """Cut off a last line that was not written whole: Optuna would write on in the middle of it and read no more."""
    if not path.is_file():
        return
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    while whole:
        start = whole.rfind(b"\n", 0, -1) + 1
        try:
            json.loads(whole[start:])
            break
        except ValueError:  # after a power cut, blocks may be there whose content is not
            whole = whole[:start]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())


def _declaration(search: Search) -> list[object]:
    space = {key: dataclasses.asdict(domain) for key, domain in search.space.items()}
    return [space, list(search.objectives), dict(search.settings)]
