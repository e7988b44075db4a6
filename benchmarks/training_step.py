"""A training step: ours, and the straightforward loop over the same samples with the same model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.measure import Clock, Finding, at_least, interleaved
from benchmarks.straightforward import straightforward_loss
from benchmarks.subject import Subject
from vip5core.distributed import WorkerGroup
from vip5core.prompts import Sample, compile_samples
from vip5core.training.loop import accumulate
from vip5core.training.optim import Optimizer


def training_step(subject: Subject) -> list[Finding]:
    """Compiled prompts in groups of like length, against text tokenised per sample and one padded batch."""
    samples = list(itertools.islice(batches(subject), subject.repeats + 1))
    optimizer = Optimizer(subject.model.train(), subject.config, 1000)
    ours, theirs = our_step(subject, optimizer, subject.clock), straightforward_step(subject, optimizer)
    ours(samples[0][:4])
    theirs(samples[0][:4])
    mine, other = interleaved(subject.clock, samples[1:], ours, theirs)
    unit = f"{subject.clock.name} per {subject.config.batch_size} rows"
    return [at_least("training-step", unit, mine, other, other / mine, 3)]


def batches(subject: Subject) -> Iterator[list[Sample]]:
    """The training samples, batch by batch."""
    samples, size = subject.inputs.training_data(subject.config).sampler.draw(0), subject.config.batch_size
    return (samples[start : start + size] for start in range(0, len(samples), size))


def our_step(subject: Subject, optimizer: Optimizer, clock: Clock) -> Callable[[list[Sample]], None]:
    """As the training loop does it."""
    data = subject.inputs.training_data(subject.config)

    def step(samples: list[Sample]) -> None:
        with clock.measure("data"):
            compiled = compile_samples(samples, data.tables, data.layout)
        accumulate(subject.model, compiled, np.arange(len(samples)), data, subject.config, WorkerGroup(), clock)
        optimizer.step()

    return step


def straightforward_step(subject: Subject, optimizer: Optimizer) -> Callable[[list[Sample]], None]:
    """Render, tokenise, pad to the longest, one forward and backward."""

    def step(samples: list[Sample]) -> None:
        straightforward_loss(subject, samples).backward()
        optimizer.step()

    return step
