"""Faults that tests inject into running trials."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import psutil

from vip5core.errors import Failure
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec


class Injector:
    """An observer that remembers, and calls `fault` with the epochs of a trial."""

    def __init__(self, fault: Callable[[TrialSpec, int], None] = lambda spec, epoch: None) -> None:
        self.fault = fault
        self.epochs: list[tuple[str, int]] = []
        self.retries: list[tuple[str, Failure]] = []
        self.waits: list[str] = []
        self.failures: dict[str, Failure] = {}
        self.finished_trials: list[str] = []

    def waiting(self, wanted: str, seconds: float) -> None:
        self.waits.append(wanted)

    def started(self, spec: TrialSpec) -> None:
        pass

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
        self.epochs.append((spec.fingerprint, int(metrics["epoch"])))
        self.fault(spec, int(metrics["epoch"]))

    def retried(self, spec: TrialSpec, failure: Failure) -> None:
        self.retries.append((spec.fingerprint, failure))

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        self.finished_trials.append(spec.fingerprint)

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        self.failures[spec.fingerprint] = failure

    def pruned(self, spec: TrialSpec) -> None:
        raise AssertionError("nothing is stopped early here")


def trial_processes() -> list[psutil.Process]:
    """The processes of trials that are running."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ImplicitFunc" in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill_trials() -> None:
    for process in trial_processes():
        process.kill()
