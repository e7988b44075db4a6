"""Machines that are taken away, processes that are killed, memory that is full: each injected into running trials."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.search import Searcher
from support.faults import Injector, assert_same, cluster_of, kill_trials
from support.trials import small
from vip5platform.cluster import controller
from vip5platform.cluster.failures import LOST
from vip5platform.cluster.resources import TrialResources
from vip5platform.cluster.trainable import TRIAL, parameters_of
from vip5platform.cluster.tune import run_search, run_trials

from benchmarks.local_cluster import add_node, lose_node_of, trial_processes
from vip5core.home import Home
from vip5core.trial.result import TrialResult
from vip5core.trial.run import run_trial
from vip5core.trial.spec import StudyInputs, TrialSpec

pytestmark = pytest.mark.long

ONE = TrialResources(workers=1, cpus=1, gpus=0.0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that runs no trial, and two nodes that run one each."""
    with cluster_of(nodes=2) as nodes:
        yield nodes


def undisturbed(spec: TrialSpec, home: Home) -> TrialResult:
    return TrialResult.load(run_trial(spec, home, lambda metrics: None))


def test_the_trial_of_a_lost_node_continues_on_another_and_an_error_of_its_own_is_final(
    text_only: StudyInputs, cluster: Cluster, tmp_path
):
    spec = text_only.spec(small(epochs=5, dropout=0.1))
    diverging = text_only.spec(small(learning_rate=1e30, tuning="full", clip=1e30))

    def lose_a_node(spec: TrialSpec, epoch: int) -> None:
        if epoch == 2 and len(cluster.worker_nodes) == 2:
            (process,) = trial_processes()
            lose_node_of(process, cluster)

    seen = Injector(lose_a_node)
    run_trials([spec, diverging], text_only.home, ONE, 1, seen)
    ((fingerprint, failure),) = seen.retries
    assert fingerprint == spec.fingerprint
    # Ray may notice that the connection is broken before it knows that the node is lost.
    assert failure.kind in LOST
    assert re.search(
        r"node \d[\d.]+ (was lost \(terminated unexpectedly|broke: it was killed, or the node was lost)",
        failure.message,
    )
    epochs = [epoch for of, epoch in seen.epochs if of == fingerprint]
    assert epochs[:2] == [1, 2]
    assert epochs[-5:] == [1, 2, 3, 4, 5]
    assert len(epochs) > 5
    assert seen.finished_trials == [spec.fingerprint]
    assert [failure.kind for failure in seen.failures.values()] == ["diverged"]
    assert_same(TrialResult.load(spec.folder(text_only.home)), undisturbed(spec, Home(tmp_path / "calm")))


def test_a_trial_that_is_killed_again_and_again_is_given_up_with_what_ray_says_of_it(text_only, cluster, monkeypatch):
    assert controller.RESTARTS == 3
    monkeypatch.setattr(controller, "RESTARTS", 1)  # each costs the start of a process
    spec = text_only.spec(small(epochs=6))
    killed: list[int] = []

    def kill_at_a_new_epoch(spec: TrialSpec, epoch: int) -> None:
        if epoch > max(killed, default=0):
            killed.append(epoch)
            kill_trials()

    seen = Injector(kill_at_a_new_epoch)
    run_trials([spec], text_only.home, ONE, 1, seen)
    assert len(killed) == 2
    assert len(seen.retries) == 1
    (failure,) = seen.failures.values()
    assert failure.kind == "process_died"
    assert failure.message.startswith("its process on node ")
    assert "died: killed, or out of memory (Ray says: Worker unexpectedly exits with" in failure.message


class Autoscaler(Injector):
    """Adds a node once a wait for one is told."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster

    def waiting(self, wanted, seconds) -> None:
        if not self.waits:
            add_node(self.cluster, cpus=3)
        super().waiting(wanted, seconds)


def test_trials_that_no_node_has_room_for_wait_for_one_and_say_so(text_only, cluster, monkeypatch, capfd):
    monkeypatch.setattr("vip5platform.cluster.waiting._USUAL_S", 2)
    spec = text_only.spec(small(epochs=1))
    seen = Autoscaler(cluster)
    run_trials([spec], text_only.home, TrialResources(1, 3, 0.0), 1, seen)
    assert set(seen.waits) == {"3 CPUs"}
    assert seen.finished_trials == [spec.fingerprint]
    assert "ray" not in "".join(capfd.readouterr())  # Ray says nothing of it


class Sequence(Searcher):
    """Proposes trials one after the other, and kills the process that waits for each but the first."""

    def __init__(self, specs: list[TrialSpec], home: Home) -> None:
        super().__init__()
        self.specs, self.home = specs, home

    def suggest(self, trial_id: str):
        if not self.specs:
            return Searcher.FINISHED
        kill_trials()
        return {TRIAL: parameters_of(self.specs.pop(0), self.home)}

    def on_trial_complete(self, trial_id, result=None, error=False) -> None:
        pass

    def __getstate__(self):
        return {}


def test_a_process_that_dies_between_two_trials_costs_the_next_one_nothing_but_time(text_only, cluster):
    specs = [text_only.spec(small(seed=seed, epochs=1)) for seed in range(2)]
    seen = Injector()
    run_search(Sequence(list(specs), text_only.home), tune.schedulers.FIFOScheduler(), text_only.home, ONE, 1, seen)
    assert seen.failures == {}
    assert seen.finished_trials == [spec.fingerprint for spec in specs]
    assert [fingerprint for fingerprint, _ in seen.retries] == [specs[1].fingerprint]
