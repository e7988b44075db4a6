"""Faults that tests inject into running trials."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from ray.cluster_utils import Cluster
from vip5platform.cluster.ray_cluster import ray_session

from benchmarks.local_cluster import local_cluster, trial_processes
from vip5core.errors import Failure
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec


@contextlib.contextmanager
def cluster_of(nodes: int) -> Iterator[Cluster]:
    """A head that runs no trial, and nodes that run one worker each; this process is connected to it."""
    with local_cluster(nodes) as cluster, ray_session(cluster.address):
        yield cluster


def assert_same(disturbed: TrialResult, calm: TrialResult) -> None:
    """Two trials have the same epochs, per-user results and weights."""
    assert disturbed.history == calm.history
    for file in ("per_user.parquet", "trainable.safetensors"):
        assert (disturbed.folder / file).read_bytes() == (calm.folder / file).read_bytes()


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


def kill_trials() -> None:
    for process in trial_processes():
        process.kill()
