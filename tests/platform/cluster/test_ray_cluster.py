"""What a study may count on: what is there, and on a cluster what an autoscaler may add."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from ray._raylet import GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, GCS_AUTOSCALER_STATE_NAMESPACE
from ray.cluster_utils import Cluster
from vip5platform.cluster.ray_cluster import make_process_folder, ray_session
from vip5platform.cluster.resources import ClusterResources, TrialResources
from vip5platform.declarations import Study, factor
from vip5platform.options import Options
from vip5platform.study.run import run

from vip5core.errors import UserError
from vip5core.storage import machine_name

pytestmark = pytest.mark.slow

#: The head of cluster.yaml, alone.
COLD = ClusterResources(cpus=0, gpus=0, cpus_per_gpu=0, most_cpus=32, most_gpus=16)


def test_what_a_ray_of_its_own_has(ray_two_cpus):
    assert (ray_two_cpus.cpus, ray_two_cpus.gpus, ray_two_cpus.cpus_per_gpu) == (2, 0, 0)
    assert ray_two_cpus.most_gpus == 0


def test_what_an_autoscaler_says_that_it_can_add(ray_two_cpus):
    from ray.core.generated import autoscaler_pb2
    from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put

    head = autoscaler_pb2.NodeGroupConfig(name="head", max_count=1)
    gpu = autoscaler_pb2.NodeGroupConfig(name="gpu", resources={"CPU": 8, "GPU": 1}, max_count=4)
    told = autoscaler_pb2.ClusterConfig(node_group_configs=[head, gpu]).SerializeToString()
    where = GCS_AUTOSCALER_CLUSTER_CONFIG_KEY.encode(), GCS_AUTOSCALER_STATE_NAMESPACE.encode()
    _internal_kv_put(where[0], told, namespace=where[1])
    try:
        found = ClusterResources.of_cluster()
    finally:
        _internal_kv_del(where[0], namespace=where[1])
    assert (found.cpus, found.gpus, found.most_cpus, found.most_gpus) == (2, 0, 32, 4)


def test_folders_of_processes_that_were_killed_are_removed_and_those_of_others_kept(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    here = machine_name()
    unfinished = "abcd_123"
    (tmp_path / f"tune-{here}-{gone.pid}-{unfinished}" / "inside").mkdir(parents=True)
    others = {
        f"tune-{here}-{os.getpid()}-{unfinished}",
        "tune-mine",
        f"other-{here}-{gone.pid}-{unfinished}",
        f"tune-x-{gone.pid}-{unfinished}",
    }
    for kept in others:
        (tmp_path / kept).mkdir()
    fresh = make_process_folder(tmp_path, "tune-")
    assert fresh.name.startswith(f"tune-{here}-{os.getpid()}-")
    assert {path.name for path in tmp_path.iterdir()} == {fresh.name, *others}


def test_folders_of_machines_that_are_gone_are_removed_when_they_are_old(tmp_path):
    names = {
        "abandoned": "tune-ip-10-0-0-7-17-abcd_123",
        "in use": "tune-ip-10-0-0-8-17-abcd_123",
        "of a user": "tune-my-17-results",
    }
    long_ago = time.time() - 30 * 86_400
    for what, name in names.items():
        (tmp_path / name / "inside").mkdir(parents=True)
        for folder in (tmp_path / name / "inside", tmp_path / name):
            if what != "in use" or folder.name != "inside":
                os.utime(folder, (long_ago, long_ago))
    make_process_folder(tmp_path, "tune-")
    assert {name for name in names.values() if (tmp_path / name).is_dir()} == {names["in use"], names["of a user"]}


def test_a_ray_that_does_not_start_is_tried_again_and_then_told_in_one_line(monkeypatch):
    tried = []

    def too_slow(**options: object) -> None:
        tried.append(options)
        raise Exception("The current node timed out during startup.\nMore")

    monkeypatch.setattr("ray.init", too_slow)
    with pytest.raises(UserError, match=r"did not start on this machine \(The current node timed"), ray_session(None):
        pass
    assert len(tried) == 2


@pytest.mark.parametrize(("workers", "gpus"), [(1, 1.0), (1, 0.25), (2, 1.0)])
def test_on_a_cold_cluster_all_trials_ask_for_their_gpus_at_once(workers, gpus):
    resources = COLD.with_nodes_to_come(5 * workers, gpus)
    share = TrialResources.of(resources, 5, workers, gpus)
    assert share == TrialResources(workers, 1, gpus)
    assert share.at_once(resources) == 5


def test_nodes_that_are_there_do_not_bound_what_is_to_come():
    one_node = ClusterResources(cpus=8, gpus=1, cpus_per_gpu=8, most_gpus=8)
    resources = one_node.with_nodes_to_come(5, 1.0)
    assert TrialResources.of(resources, 5, 1, 1.0).at_once(resources) == 5
    assert one_node.with_nodes_to_come(1, 0.5) == one_node


@pytest.mark.parametrize(
    ("cluster", "workers", "gpus", "places"),
    [
        (ClusterResources(cpus=2, gpus=0), 1, 1.0, 0),
        (ClusterResources(cpus=16, gpus=2), 3, 0.6, 2),  # a share is of one GPU: 0.4 of each is left over
        (COLD, 17, 1.0, 16),
        (COLD, 17, 0.6, 16),
    ],
)
def test_gpus_that_will_never_be_are_refused(cluster, workers, gpus, places):
    with pytest.raises(UserError, match=f"--gpus-per-worker {gpus:g} with {workers} .* room for {places} such workers"):
        TrialResources.of(cluster.with_nodes_to_come(10 * workers, gpus), 10, workers, gpus)


@pytest.mark.parametrize(("gpus", "refused"), [(0.5, True), (0.25, True), (0.6, False), (1.0, False), (0.0, False)])
def test_workers_of_a_trial_that_would_share_a_gpu_are_refused(gpus, refused):
    cluster = ClusterResources(cpus=16, gpus=2, cpus_per_gpu=8)
    with pytest.raises(UserError, match="two of them would lie on one GPU") if refused else nullcontext():
        TrialResources.of(cluster, 1, 2, gpus)


@pytest.mark.parametrize(("workers", "gpus", "at_once"), [(2, 0.6, 1), (1, 0.5, 4), (1, 0.1, 10)])
def test_shares_of_gpus_are_counted_by_the_gpu(workers, gpus, at_once):
    cluster = ClusterResources(cpus=64, gpus=1 if gpus == 0.1 else 2, cpus_per_gpu=16)
    assert TrialResources.of(cluster, 20, workers, gpus).at_once(cluster) == at_once


def test_cpus_that_an_autoscaler_can_add_count_as_there():
    assert TrialResources.of(COLD.with_nodes_to_come(40, 0.0), 40, 1, 0.0).at_once(COLD.with_nodes_to_come(40, 0)) == 32
    with pytest.raises(UserError, match="each needs a CPU, but the cluster has 0"):
        TrialResources.of(ClusterResources(cpus=0, gpus=0).with_nodes_to_come(1, 0.0), 1, 1, 0.0)


LOSSES = """
import os, time
from vip5platform.environment import set_environment
set_environment(None)
from vip5platform.cluster.ray_cluster import ray_session
with ray_session(None, cpus=1):
    import ray
    @ray.remote(num_cpus=0)
    class Actor:
        def alive(self): return True
        def die(self): os._exit(1)
    actors = [Actor.remote() for _ in range(6)]
    ray.get([actor.alive.remote() for actor in actors])
    try: ray.get(actors[0].die.remote())
    except ray.exceptions.ActorDiedError: print("it died")
    impossible = ray.remote(num_gpus=3)(lambda: None).remote()
    time.sleep(5)
"""


def test_ray_itself_says_nothing_on_the_users_screen():
    done = subprocess.run([sys.executable, "-c", LOSSES], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("it died\n", "")


@pytest.fixture(scope="module")
def gpu_cluster() -> Iterator[str]:
    """The address of a cluster with a head of no CPU and a node of two GPUs, which Ray only believes in."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=4, num_gpus=2, object_store_memory=80_000_000)
        yield str(cluster.address)
    finally:
        cluster.shutdown()


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gpus_per_worker": -1.0}, "--gpus-per-worker -1: must be from 0 to 1"),
        ({"gpus_per_worker": 1.5}, "--gpus-per-worker 1.5: must be from 0 to 1"),
        ({"gpus_per_worker": 0.6, "workers_per_trial": 3}, "with room for 2 such workers"),
        ({"gpus_per_worker": 0.0, "workers_per_trial": 5}, "--workers-per-trial 5: each needs a CPU"),
        ({"workers_per_trial": 0}, "--workers-per-trial 0: must be at least 1"),
    ],
)
def test_what_cannot_be_placed_is_refused_before_any_work(gpu_cluster, tmp_path, options, says, dry_run):
    study = Study("s", "Which?", (factor("image_tokens", 0, 2),))
    with pytest.raises(UserError, match=says):
        run(study, Options(dataset="minimart:40", home=tmp_path, address=gpu_cluster, dry_run=dry_run, **options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("resources", "gpus", "cpus"),
    [
        (ClusterResources(cpus=8, gpus=0, cpus_per_gpu=0), None, 1),  # one thread: the same numbers however many run
        (ClusterResources(cpus=20, gpus=1, cpus_per_gpu=4), 1.0, 4),  # a large head and a small GPU node
        (ClusterResources(cpus=20, gpus=1, cpus_per_gpu=4), 0.5, 2),
    ],
)
def test_a_trial_asks_for_no_more_cpus_than_a_node_has(resources, gpus, cpus):
    assert TrialResources.of(resources, trials=1, gpus=gpus).cpus == cpus
