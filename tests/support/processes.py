"""What a process of a study starts, and whether it ends."""

from __future__ import annotations

import contextlib
import time

import psutil


def started_by(process: int) -> list[psutil.Process]:
    """The processes that it has started, and those started by them.

    Without Ray's agents: they end, too, but take up to minutes to notice that their node is gone.
    """
    found = psutil.Process(process).children(recursive=True)
    return [child for child in found if "Agent" not in child.name()]


def left_of(processes: list[psutil.Process], within_s: float = 60.0) -> list[psutil.Process]:
    """Those that still run after so many seconds; returns as soon as there is none."""
    deadline = time.monotonic() + within_s
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
