"""When the stages of a run were under way; several may be at once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A time in which a stage was under way, in seconds since the epoch."""

    stage: str
    start: float
    end: float


class Timeline:
    """The stages of one run.

    The clock is that of the day, because stages may run on other machines.

    Attributes:
        start: When the run began.
        spans: Every stage that has ended, in this order.
    """

    def __init__(self) -> None:
        self.start = time.time()
        self.spans: list[Span] = []

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Note a block as a stage."""
        start = time.time()
        try:
            yield
        finally:
            self.add(stage, start, time.time())

    def add(self, stage: str, start: float, end: float) -> None:
        """Note a stage that ran elsewhere."""
        self.spans.append(Span(stage, start, end))

    @property
    def total(self) -> float:
        """Seconds since the run began."""
        return time.time() - self.start

    @property
    def seconds(self) -> dict[str, float]:
        """Wall seconds by stage, or by the stages that were under way side by side.

        No second counts twice, so that these add up to the wall time of all stages together.

        >>> timeline = Timeline()
        >>> timeline.add("P5 stage", 10, 50)
        >>> timeline.add("features", 11, 24)
        >>> timeline.seconds
        {'P5 stage': 27.0, 'P5 stage + features': 13.0}
        """
        spans = sorted(self.spans, key=lambda span: (span.start, -span.end))
        times = sorted({time for span in spans for time in (span.start, span.end)})
        found: dict[str, float] = {}
        for begin, end in itertools.pairwise(times):
            running = dict.fromkeys(span.stage for span in spans if span.start <= begin and end <= span.end)
            if running:
                name = " + ".join(running)
                found[name] = found.get(name, 0.0) + end - begin
        return found
