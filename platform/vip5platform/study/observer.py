"""Tells MLflow and the screen how trials go, and remembers what came of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from mlflow.exceptions import MlflowException
from vip5platform.console import TrialProgress, warn
from vip5platform.tracking import Tracker

from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec

#: A trial's label and its levels (or searched settings) by name.
Describe = Callable[[TrialSpec], tuple[str, Mapping[str, str]]]


class TrialObserver:
    """An observer of the fleet; see `vip5platform.fleet.Observer`.

    A tracking server that is away does not end the trials: what it misses is recorded at the end, or by the next run.

    Attributes:
        failures: reason by fingerprint.
        ended_early: fingerprints of trials that a search has pruned.
        histories: what each trial has reported, for one that leaves no folder.
        missed: did the server miss anything?
    """

    def __init__(self, tracker: Tracker, describe: Describe, progress: TrialProgress) -> None:
        self.tracker = tracker
        self.describe = describe
        self.progress = progress
        self.failures: dict[str, str] = {}
        self.ended_early: set[str] = set()
        self.histories: dict[str, list[Mapping[str, float]]] = {}
        self.missed = False

    def started(self, spec: TrialSpec) -> None:
        with self._recording():
            self._open(spec)
        self.progress.started(spec)

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
        history = self.histories.setdefault(spec.fingerprint, [])
        history.append(metrics)
        with self._recording():
            self._open(spec)
            self.tracker.epochs(spec, history)
        self.progress.epoch(spec, metrics)

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        with self._recording():
            self._open(spec)
            self.tracker.finished(spec, result)
        self.progress.finished(spec, result)

    def failed(self, spec: TrialSpec, reason: str) -> None:
        self.failures[spec.fingerprint] = reason
        with self._recording():
            self._open(spec)
            self.tracker.failed(spec, reason)
        self.progress.failed(spec, reason)

    def pruned(self, spec: TrialSpec) -> None:
        self.ended_early.add(spec.fingerprint)
        with self._recording():
            self._open(spec)
            self.tracker.pruned(spec)
        self.progress.pruned(spec)

    def catch_up(self, spec: TrialSpec) -> None:
        """Record what the server missed of a trial that failed or was pruned."""
        with self._recording():
            self._open(spec)
            self.tracker.epochs(spec, self.histories.get(spec.fingerprint, []))
            if spec.fingerprint in self.failures:
                self.tracker.failed(spec, self.failures[spec.fingerprint])
            elif spec.fingerprint in self.ended_early:
                self.tracker.pruned(spec)

    def _open(self, spec: TrialSpec) -> None:
        self.tracker.open(spec, *self.describe(spec))

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            if not self.missed:
                reason = str(error).splitlines()[0][:120]
                warn(f"MLflow does not answer ({reason}): what it misses is recorded at the end, or by the next run")
            self.missed = True
