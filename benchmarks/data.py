"""Data time as a share of a training step."""

from __future__ import annotations

import dataclasses
import statistics

from benchmarks.measure import Finding
from benchmarks.subject import Subject
from benchmarks.training_step import batches, our_step
from vip5core.training.optim import Optimizer


def data(subject: Subject) -> list[Finding]:
    """For T5-small's size, whose steps are long, and the tiny backbone, whose steps are short."""
    return [data_share(subject, subject.repeats), data_share(dataclasses.replace(subject, size="tiny"), 40)]


def data_share(subject: Subject, steps: int) -> Finding:
    """Sampling, compiling and batching as a share of the step: the median of `steps`."""
    optimizer = Optimizer(subject.model.train(), subject.config, 1000)
    shares = []
    drawn = batches(subject)
    for repeat in range(steps + 1):
        clock = subject.clock
        with clock.measure("step"):
            with clock.measure("data"):
                samples = next(drawn)
            our_step(subject, optimizer, clock)(samples)
        if repeat:
            shares.append(100 * clock["data"] / clock["step"])
    share = statistics.median(shares)
    return Finding(f"data, {subject.size}", "% of a step", share, target="< 5 %", met=share < 5)
