"""What a study may count on: what is there, and on a cluster what an autoscaler may add."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from vip5platform.cluster.ray_cluster import make_process_folder
from vip5platform.cluster.resources import ClusterResources, TrialResources

from vip5core.errors import UserError

pytestmark = pytest.mark.slow

COLD = ClusterResources(cpus=0, gpus=0, cpus_per_gpu=0)  # the head of cluster.yaml, alone


def test_what_a_ray_of_its_own_has(ray_two_cpus):
    assert ray_two_cpus == ClusterResources(cpus=2, gpus=0, cpus_per_gpu=0)


def test_folders_of_processes_that_were_killed_are_removed_and_those_of_others_kept(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    here = socket.gethostname()
    (tmp_path / f"tune-{here}-{gone.pid}-abc" / "inside").mkdir(parents=True)
    others = {f"tune-{here}-{os.getpid()}-abc", "tune-mine", f"other-{here}-{gone.pid}-abc", f"tune-x-{gone.pid}-abc"}
    for kept in others:
        (tmp_path / kept).mkdir()
    fresh = make_process_folder(tmp_path, "tune-")
    assert fresh.name.startswith(f"tune-{here}-{os.getpid()}-")
    assert {path.name for path in tmp_path.iterdir()} == {fresh.name, *others}


@pytest.mark.parametrize(("workers", "gpus"), [(1, 1.0), (1, 0.25), (2, 1.0)])
def test_on_a_cold_cluster_all_trials_ask_for_their_gpus_at_once(workers, gpus):
    resources = COLD.with_nodes_to_come(5 * workers, gpus)
    share = TrialResources.of(resources, 5, workers, gpus)
    assert share == TrialResources(workers, 1, gpus)
    assert share.at_once(resources) == 5


def test_nodes_that_are_there_do_not_bound_what_is_to_come():
    one_node = ClusterResources(cpus=8, gpus=1, cpus_per_gpu=8)
    resources = one_node.with_nodes_to_come(5, 1.0)
    assert TrialResources.of(resources, 5, 1, 1.0).at_once(resources) == 5
    assert one_node.with_nodes_to_come(1, 0.5) == one_node


def test_gpus_that_will_never_be_are_refused():
    with pytest.raises(UserError, match="the cluster has 0 GPUs"):
        TrialResources.of(ClusterResources(cpus=2, gpus=0), trials=1, gpus=1.0)


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
