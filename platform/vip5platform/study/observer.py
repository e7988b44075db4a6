"""Forwards the progress and outcome of trials to MLflow and the console."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vip5core.errors import Failure
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec
from vip5platform.console import TrialProgress
from vip5platform.study.event_queue import EventQueue

if TYPE_CHECKING:
    from vip5platform.tracking.system_metrics import SystemMetrics
    from vip5platform.tracking.tracker import Tracker

#: Gives the label of a trial, and its levels (or searched settings) by name.
Describe = Callable[[TrialSpec], tuple[str, Mapping[str, str]]]


class TrialObserver:
    """An observer (see `vip5platform.cluster.tune.Observer`) for MLflow and the console.

    A tracking server that is slow or unreachable does not hold up the trials: it is told through a queue, and what it
    misses is recorded at the end or by the next run.

    Args:
        tracker: The MLflow runs.
        describe: See `Describe`.
        progress: The display of the trials.
        events: The queue for what is recorded.
        system_metrics: What measures the machine while a trial runs, if it is wanted.

    Attributes:
        failures: The failures of trials, by fingerprint.
        stopped_early: The fingerprints of trials that a search has pruned.
        histories: The epochs that each trial has reported, for trials that leave no result.
    """

    def __init__(
        self,
        tracker: Tracker,
        describe: Describe,
        progress: TrialProgress,
        events: EventQueue,
        system_metrics: SystemMetrics | None = None,
    ) -> None:
        self.tracker = tracker
        self.describe = describe
        self.progress = progress
        self.events = events
        self.system_metrics = system_metrics
        self.failures: dict[str, Failure] = {}
        self.stopped_early: set[str] = set()
        self.histories: dict[str, list[Mapping[str, float]]] = {}

    def waiting(self, wanted: str, seconds: float) -> None:
        self.progress.waiting(wanted, seconds)

    def started(self, spec: TrialSpec) -> None:
        self._record(spec, functools.partial(self._measure, spec))
        self.progress.started(spec)

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
        history = self.histories.setdefault(spec.fingerprint, [])
        history.append(metrics)
        self._record(spec, functools.partial(self.tracker.epochs, spec, list(history)))
        self.progress.epoch(spec, metrics)

    def retried(self, spec: TrialSpec, failure: Failure) -> None:
        epochs = len(self.histories.pop(spec.fingerprint, ()))  # reported again by the next attempt
        self.progress.retried(spec, failure, epochs)

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        self._record(spec, functools.partial(self.tracker.finished, spec, result))
        self.progress.finished(spec, result)

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        self.failures[spec.fingerprint] = failure
        self._record(spec, functools.partial(self.tracker.failed, spec, failure))
        self.progress.failed(spec, failure)

    def pruned(self, spec: TrialSpec) -> None:
        self.stopped_early.add(spec.fingerprint)
        self._record(spec, functools.partial(self.tracker.pruned, spec))
        self.progress.pruned(spec)

    def catch_up(self, spec: TrialSpec) -> None:
        """Record what the server missed of a trial that left no result."""
        if spec.fingerprint not in self.histories and spec.fingerprint not in self.failures:
            return
        with self.tracker.recording():
            self._open(spec)
            self.tracker.epochs(spec, self.histories.get(spec.fingerprint, []))
            if spec.fingerprint in self.failures:
                self.tracker.failed(spec, self.failures[spec.fingerprint])
            elif spec.fingerprint in self.stopped_early:
                self.tracker.pruned(spec)

    def _measure(self, spec: TrialSpec) -> None:
        if self.system_metrics is not None:
            self.system_metrics.start(self.tracker.children[spec.fingerprint])

    def _record(self, spec: TrialSpec, event: Callable[[], None]) -> None:
        def record() -> None:
            with self.tracker.recording(patiently=False):
                self._open(spec)
                event()

        self.events.put(record)

    def _open(self, spec: TrialSpec) -> None:
        self.tracker.open(spec, *self.describe(spec))
