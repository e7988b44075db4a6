"""How long work reports its progress: one signature everywhere."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with steps done, steps in all, and what is new, in a few words or empty."""

    def __call__(self, done: int, total: int, news: str = "") -> None: ...


def no_progress(done: int, total: int, news: str = "") -> None:
    """For callers that show none."""
