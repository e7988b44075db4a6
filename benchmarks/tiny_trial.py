"""A trial of the default study: how fast it trains, validates and is tested; features are random, the T5 untrained.

The figures stand for themselves: to compare two versions of the code, run this in both, in turn.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics

import numpy as np

from benchmarks.measure import Finding
from benchmarks.subject import Subject
from vip5core.distributed import WorkerGroup
from vip5core.presets import TINY
from vip5core.prompts import compile_samples
from vip5core.training.loop import accumulate
from vip5core.training.optim import Optimizer
from vip5core.vocabulary import TINY as TINY_BACKBONE

_STEPS = 60


def tiny_trial(subject: Subject) -> list[Finding]:
    """The settings of the preset `tiny`, on all users."""
    settings = {key: value for key, value in TINY.items() if key != "encoder_weights"}
    tiny = dataclasses.replace(subject, size=TINY_BACKBONE, settings=settings)
    unit = f"per {tiny.clock.name}"
    findings = [Finding("tiny trial, training", f"samples {unit}", _training_rate(tiny))]
    evaluator = tiny.inputs.evaluator(tiny.config)
    tiny.model.eval()
    evaluator.test(tiny.model)  # the first call makes what later ones find
    for name, work in (("an epoch's validation", evaluator.validate), ("test", evaluator.test)):
        call = functools.partial(work, tiny.model)
        seconds = statistics.median(tiny.clock.of(call) for _ in range(tiny.repeats))
        findings.append(Finding(f"tiny trial, {name}", tiny.clock.name, seconds))
    return findings


def _training_rate(tiny: Subject) -> float:
    """The samples trained on per second: the median of the steps, each with its part of what is prepared ahead."""
    data, size, clock = tiny.inputs.training_data(tiny.config), tiny.config.batch_size, tiny.clock
    optimizer = Optimizer(tiny.model.train(), tiny.config, 1000)
    with clock.measure("draw"):
        epoch = data.sampler.draw(0)
    samples = epoch[: _STEPS * size]
    with clock.measure("compile"):
        compiled = compile_samples(samples, data.tables, data.layout)
    ahead = size * (clock["draw"] / len(epoch) + clock["compile"] / len(samples))
    seconds = []
    for start in range(0, len(samples) - size + 1, size):
        begin = clock.now()
        rows = np.arange(start, start + size)
        accumulate(tiny.model, compiled, rows, data, tiny.config, WorkerGroup(), clock)
        optimizer.step()
        seconds.append(clock.now() - begin)
    return size / (ahead + statistics.median(seconds[1:]))
