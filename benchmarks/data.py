"""Data time as a share of a training step."""

from __future__ import annotations

import dataclasses
import statistics

import numpy as np

from benchmarks.measure import Finding
from benchmarks.subject import Subject
from vip5core.distributed import WorkerGroup
from vip5core.prompts import compile_samples
from vip5core.training.loop import accumulate
from vip5core.training.optim import Optimizer


def data(subject: Subject) -> list[Finding]:
    """For T5-small's size, whose steps are long, and the tiny backbone, whose steps are short."""
    return [data_share(subject, subject.repeats), data_share(dataclasses.replace(subject, size="tiny"), 40)]


def data_share(subject: Subject, steps: int) -> Finding:
    """Drawing, compiling and padding as a share of the step: the median of `steps`.

    As in the training loop, prompts are drawn for an epoch at once and compiled for many steps; each step is charged
    for its part.
    """
    source, size = subject.inputs.training_data(subject.config), subject.config.batch_size
    optimizer = Optimizer(subject.model.train(), subject.config, 1000)
    clock = subject.clock
    with clock.measure("draw"):
        epoch = source.sampler.draw(0)
    samples = epoch[: (steps + 1) * size]
    with clock.measure("compile"):
        compiled = compile_samples(samples, source.tables, source.layout)
    ahead = size * (clock["draw"] / len(epoch) + clock["compile"] / len(samples))
    shares = []
    for repeat in range(steps + 1):
        clock = subject.clock
        rows = np.arange(repeat * size, (repeat + 1) * size) % len(samples)
        with clock.measure("step"):
            accumulate(subject.model, compiled, rows, source, subject.config, WorkerGroup(), clock)
            optimizer.step()
        if repeat:
            shares.append(100 * (ahead + clock["data"]) / (ahead + clock["step"]))
    share = statistics.median(shares)
    return Finding(f"data, {subject.size}", "% of a step", share, target="< 5 %", met=share < 5)
