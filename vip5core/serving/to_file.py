"""Recommendations as a file, written in parts so that an interrupted run continues."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint
from vip5core.progress import Progress, no_progress
from vip5core.serving.histories import Histories
from vip5core.serving.recommender import Recommender
from vip5core.storage import atomic_file, writable_folder

#: Users of a part: what an interruption can lose.
USERS_PER_PART = 1_000


def _write_parquet(parts: Iterable[pd.DataFrame], file: Path) -> None:
    tables = (pa.Table.from_pandas(part, preserve_index=False) for part in parts)
    first = next(tables)
    with pq.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _write_csv(parts: Iterable[pd.DataFrame], file: Path) -> None:
    for number, part in enumerate(parts):
        part.to_csv(file, mode="a" if number else "w", header=not number, index=False)


def _write_jsonl(parts: Iterable[pd.DataFrame], file: Path) -> None:
    with file.open("w", encoding="utf-8") as out:
        for part in parts:
            out.write(part.to_json(orient="records", lines=True, force_ascii=False))


#: How lists are written, by the ending of the file.
FORMATS: dict[str, Callable[[Iterable[pd.DataFrame], Path], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}


def recommend_to_file(
    recommender: Recommender, histories: Histories, k: int, out: Path, progress: Progress = no_progress
) -> int:
    """Write the lists of all users, as `Recommender.rank` gives them; the file appears complete or not at all.

    Parts are kept in `OUT.parts/` until then; the same model, histories and `k` continue with those that are there.

    Args:
        recommender: The model.
        histories: The histories.
        k: The length of each list.
        out: The file, of one of `FORMATS`.
        progress: Told how many users are done.

    Returns:
        The number of users that were computed, rather than found in parts.

    Raises:
        UserError: if the file cannot be written, or there is no history.
    """
    check_format(out)
    recommender.check_length(k)
    if not histories.users:
        raise UserError("no user has an item that the model knows: nothing to recommend")
    folder = writable_folder(out.parent / f"{out.name}.parts", "--out")
    contents = [items.tolist() for items in histories.items]
    identity = fingerprint(recommender.trained.result.record.fingerprint, histories.users, contents, k)
    files, computed = [], 0
    for start in range(0, len(histories.users), USERS_PER_PART):
        part = slice(start, start + USERS_PER_PART)
        some = Histories(histories.users[part], histories.items[part], histories.unknown_items, [])
        files.append(folder / f"{identity}-{start:09d}.parquet")
        if not files[-1].is_file():
            with atomic_file(files[-1]) as aside:
                recommender.rank(some, k).to_parquet(aside, index=False)
            computed += len(some.users)
        progress(start + len(some.users), len(histories.users))
    with atomic_file(out) as aside:
        FORMATS[out.suffix]((pd.read_parquet(file) for file in files), aside)
    shutil.rmtree(folder)
    return computed


def check_format(out: Path) -> None:
    """Refuse a file of another format, before anything is computed.

    Raises:
        UserError: if its name has another ending.
    """
    if out.suffix not in FORMATS:
        raise UserError(f"--out {str(out)!r}: its name must end in {', '.join(FORMATS)}")
