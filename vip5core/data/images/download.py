"""Downloads images from their addresses into a folder of files with a ledger, one row per address.

A run that is stopped at any point, by Ctrl-C or killed, can be resumed: a file gets its name when it is complete, its
row is appended after that, and an incomplete last row is ignored.
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
from vip5core.progress import Progress, no_progress
from vip5core.storage import atomic_file, writable_folder

if TYPE_CHECKING:
    from yarl import URL

    from vip5core.data.images.fetch import FetchedImage


_DTYPES = dict.fromkeys(Row.__dataclass_fields__, "object") | {"bytes": "Int64", "final": "bool"}


def download(
    urls: Iterable[str],
    folder: Path,
    options: DownloadOptions | None = None,
    progress: Progress = no_progress,
) -> pd.DataFrame:
    """Download `urls` into `folder`, except those that its ledger lists as done.

    Args:
        urls: the http(s) addresses; duplicates are requested once.
        folder: the folder of files, used by one run at a time. A file is named by a hash of its address and the type
            that its content shows, and holds the bytes as they were received.
        options: how images are requested.
        progress: called with the number of addresses done and of all addresses, first before any request.

    Returns:
        One row per distinct address, in the order given, with the columns of `Row`.

    Raises:
        UserError: if the folder cannot be written, the disk is full, or another run uses it. Finished downloads are
            kept.
    """
    options = options or DownloadOptions()
    wanted = list(dict.fromkeys(urls))
    folder = writable_folder(folder, "the download folder")
    with Ledger(folder) as ledger:
        todo = [url for url in wanted if not ledger.is_settled(url, options.retry_failed)]
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
    """Request every address: each host has its own queue, so that no host waits for a slow one."""
    # Imported here: aiohttp takes 0.2 s, and few runs that read a dataset download anything.
    from vip5core.data.images.addresses import host_of, parse_address
    from vip5core.data.images.fetch import Fetcher, FetchError, PermanentError

    queues: defaultdict[str, deque[tuple[str, URL]]] = defaultdict(deque)
    for url in todo:
        try:
            address = parse_address(options.apply_mirrors(url))
        except ValueError as error:
            record(_failure_row(url, f"bad address: {error}", final=True))
        else:
            queues[host_of(address)].append((url, address))

    async def work(queue: deque[tuple[str, URL]]) -> None:
        while queue:
            url, address = queue.popleft()
            try:
                image = await fetcher.fetch(address)
            except FetchError as error:
                row = _failure_row(url, str(error), final=isinstance(error, PermanentError))
            else:
                row = _store(url, image, folder)
            record(row)

    try:
        async with Fetcher(options) as fetcher, asyncio.TaskGroup() as group:
            for queue in queues.values():
                for _ in range(min(options.per_host, len(queue))):
                    group.create_task(work(queue))
    except BaseExceptionGroup as errors:  # several workers may find the disk full: one error is enough
        raise errors.exceptions[0] from None


def _failure_row(url: str, reason: str, final: bool) -> Row:
    # A reason may quote what a server sent: make it printable and short.
    return Row(url, reason=reason.encode("ascii", "backslashreplace").decode()[:200], final=final)


def _store(url: str, image: FetchedImage, folder: Path) -> Row:
    name = file_name(url, image.ending)
    with disk_errors(folder), atomic_file(folder / name) as aside:
        aside.write_bytes(image.data)
    digest = hashlib.sha256(image.data).hexdigest()
    return Row(url, name, digest, len(image.data), image.content_type)
