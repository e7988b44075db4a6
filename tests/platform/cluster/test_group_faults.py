"""A trial with two workers on two nodes, of which one is taken away."""

from __future__ import annotations

import pytest
from support.faults import Injector, assert_same, cluster_of
from support.trials import small
from vip5platform.cluster.failures import LOST
from vip5platform.cluster.ray_cluster import ray_session
from vip5platform.cluster.resources import TrialResources
from vip5platform.cluster.tune import run_trials

from benchmarks.local_cluster import lose_node_of, trial_processes
from vip5core.home import Home
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import StudyInputs, TrialSpec

pytestmark = pytest.mark.long

#: Long enough that a trial is in the middle when the driver is told of an epoch: a group does not wait for that.
EPOCHS, SAMPLES = 10, (8, 8, 8, 8)
TWO = TrialResources(workers=2, cpus=1, gpus=0.0)


@pytest.mark.parametrize("of_controller", [False, True], ids=["of-a-worker", "of-the-controller"])
def test_a_worker_group_that_loses_a_node_continues_on_others_with_the_same_numbers(
    text_only: StudyInputs, tmp_path, of_controller
):
    spec = text_only.spec(small(epochs=EPOCHS, samples_per_user=SAMPLES, dropout=0.1))
    with cluster_of(nodes=3) as cluster:

        def lose_a_node(spec: TrialSpec, epoch: int) -> None:
            if (len(cluster.worker_nodes), epoch) != (3, 2):
                return
            (controller,) = trial_processes("TrainController")
            workers = trial_processes("RayTrainWorker")
            assert len({worker.ppid() for worker in workers}) == 2
            apart = next(worker for worker in workers if worker.ppid() != controller.ppid())
            lose_node_of(controller if of_controller else apart, cluster)

        seen = Injector(lose_a_node)
        run_trials([spec], text_only.home, TWO, 1, seen)
        assert seen.failures == {}
        assert [failure.kind in LOST for _, failure in seen.retries] == [True], seen.retries
        assert len(cluster.worker_nodes) == 2

        calm = Home(tmp_path / "calm")
        undisturbed = Injector()
        run_trials([spec], calm, TWO, 1, undisturbed)
    epochs = [epoch for _, epoch in seen.epochs]
    assert epochs[:2] == [1, 2]
    assert epochs[-EPOCHS:] == list(range(1, EPOCHS + 1))
    assert len(epochs) > EPOCHS
    assert undisturbed.retries == []
    result = TrialResult.load(spec.folder(text_only.home))
    assert result.record.workers == 2
    assert_same(result, TrialResult.load(spec.folder(calm)))


def test_a_worker_group_on_one_machine_that_loses_its_controller_continues(text_only: StudyInputs):
    spec = text_only.spec(small(epochs=EPOCHS, samples_per_user=SAMPLES))

    def kill_controller(spec: TrialSpec, epoch: int) -> None:
        if not seen.retries and epoch == 2:
            (controller,) = trial_processes("TrainController")
            controller.kill()

    seen = Injector(kill_controller)
    with ray_session(None, cpus=2):
        run_trials([spec], text_only.home, TWO, 1, seen)
    assert seen.failures == {}
    assert len(seen.retries) == 1
    assert seen.finished_trials == [spec.fingerprint]
