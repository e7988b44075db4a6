"""Time, and the form of an answer."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from vip5core.profiling import Stopwatch

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        benchmark: what was measured.
        unit: of `ours` and `baseline`.
        ours, baseline: the two figures; no baseline where a figure stands for itself.
        ratio: how many times better ours is (a share, for the share of data time).
        target: the ratio that was promised, with its direction; None where nothing was.
        met: is it?
    """

    benchmark: str
    unit: str
    ours: float
    baseline: float | None = None
    ratio: float | None = None
    target: str | None = None
    met: bool | None = None


def at_least(benchmark: str, unit: str, ours: float, baseline: float, ratio: float, target: float | None) -> Finding:
    """A finding whose ratio should reach `target`."""
    if target is None:
        return Finding(benchmark, unit, ours, baseline, ratio)
    return Finding(benchmark, unit, ours, baseline, ratio, f"≥ {target:g}×", ratio >= target)


class Clock(Stopwatch):
    """Seconds of CPU time of this process on a CPU, of wall time on a GPU; a stopwatch for the training loop, too."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    @property
    def name(self) -> str:
        return "s" if self.device.type == "cuda" else "CPU-s"

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time()

    @contextmanager
    def measure(self, name: str, device: torch.device | None = None) -> Iterator[None]:
        """Add a block's time to `self[name]`."""
        start = self.now()
        yield
        self.seconds[name] = self[name] + self.now() - start

    def of(self, work: Callable[[], Any]) -> float:
        """The time of one call."""
        start = self.now()
        work()
        return self.now() - start


def interleaved(clock: Clock, rounds: Sequence[T], *ways: Callable[[T], Any]) -> list[float]:
    """The median time of each way over `rounds`, called in turn on the same input.

    A machine that is busy with other things is then as busy for one way as for the other.
    """
    times = [[clock.of(functools.partial(way, each)) for way in ways] for each in rounds]
    return [statistics.median(column) for column in zip(*times, strict=True)]
