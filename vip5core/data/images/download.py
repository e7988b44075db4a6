"""Downloading the images that items name: a folder of files and a ledger, one row per address.

A run that is stopped at any point, by Ctrl-C or killed, goes on where it was: a file takes its name when it is whole,
its row is appended after that, and a torn last row counts as none.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from vip5core.data.images.ledger import Ledger, Row, disk_errors, file_name
from vip5core.data.images.options import DownloadOptions
from vip5core.storage import atomic_file, writable_folder

if TYPE_CHECKING:
    from yarl import URL

    from vip5core.data.images.fetch import FetchedImage


_DTYPES = dict.fromkeys(Row.__dataclass_fields__, "object") | {"bytes": "Int64", "final": "bool"}


def download(
    urls: Iterable[str],
    folder: Path,
    options: DownloadOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Download `urls` into `folder`, except those that its ledger has settled.

    Args:
        urls: http(s) addresses; those given twice are asked once.
        folder: for one run at a time. Files are named by a hash of the address and the type that their bytes show, and
            hold the bytes as they came.
        options: how to ask.
        progress: called with (addresses done, all addresses), the first time before anything is asked.

    Returns:
        One row per distinct address, in the order given: url, file (its name in `folder`, or null), sha256, bytes,
        content_type (of the bytes), reason (null if all is well), final (asking again is pointless).

    Raises:
        UserError: if the folder cannot be written, is full, or is in use by another run. What is there is kept.
    """
    options = options or DownloadOptions()
    wanted = list(dict.fromkeys(urls))
    folder = writable_folder(folder, "the folder of images")
    with Ledger(folder) as ledger:
        todo = [url for url in wanted if not ledger.settled(url, options.retry_failed)]
        done = len(wanted) - len(todo)
        progress(done, len(wanted))

        def record(row: Row) -> None:
            nonlocal done
            ledger.add(row)
            done += 1
            progress(done, len(wanted))

        if todo:
            asyncio.run(_download(todo, folder, options, record))
        rows = [asdict(ledger.rows[url]) for url in wanted]
    return pd.DataFrame(rows, columns=list(_DTYPES), dtype="object").astype(_DTYPES)


async def _download(todo: list[str], folder: Path, options: DownloadOptions, record: Callable[[Row], None]) -> None:
    """Ask for every address: each host has its own queue, so that none waits behind a slow one."""
    # Here, because aiohttp takes 0.2 s to import and few of those who read a dataset download anything.
    from vip5core.data.images.addresses import host_of, parse_address
    from vip5core.data.images.fetch import Fetcher, FetchError, PermanentError

    queues: defaultdict[str, deque[tuple[str, URL]]] = defaultdict(deque)
    for url in todo:
        try:
            address = parse_address(options.asked(url))
        except ValueError as error:
            record(_failed(url, f"bad address: {error}", final=True))
        else:
            queues[host_of(address)].append((url, address))

    async def work(queue: deque[tuple[str, URL]]) -> None:
        while queue:
            url, address = queue.popleft()
            try:
                image = await fetcher.fetch(address)
            except FetchError as error:
                row = _failed(url, str(error), final=isinstance(error, PermanentError))
            else:
                row = _stored(url, image, folder)
            record(row)

    try:
        async with Fetcher(options) as fetcher, asyncio.TaskGroup() as group:
            for queue in queues.values():
                for _ in range(min(options.per_host, len(queue))):
                    group.create_task(work(queue))
    except BaseExceptionGroup as errors:  # of several workers that met the full disk, one may speak
        raise errors.exceptions[0] from None


def _failed(url: str, reason: str, final: bool) -> Row:
    # A reason may quote what a stranger sent: printable and short in every case.
    return Row(url, reason=reason.encode("ascii", "backslashreplace").decode()[:200], final=final)


def _stored(url: str, image: FetchedImage, folder: Path) -> Row:
    name = file_name(url, image.ending)
    with disk_errors(folder), atomic_file(folder / name) as aside:
        aside.write_bytes(image.data)
    digest = hashlib.sha256(image.data).hexdigest()
    return Row(url, name, digest, len(image.data), image.content_type)
