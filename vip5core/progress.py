"""How long-running work reports its progress: one signature everywhere."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the number of steps done, the number of all steps, and the latest news in a few words, if any."""

    def __call__(self, done: int, total: int, news: str = "") -> None: ...


def no_progress(done: int, total: int, news: str = "") -> None:
    """Progress that is not shown."""
