"""A Ray cluster whose nodes are processes of this machine, and that loses nodes and processes when told to."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import psutil
from ray.cluster_utils import Cluster

#: What each node is started with.
_NODE: dict[str, Any] = {"object_store_memory": 80_000_000}
#: Notices within seconds that a node is gone, and leaves a busy machine the time to start one.
_QUICK = {"health_check_period_ms": 1000}
#: How often a node is tried to be started.
_ATTEMPTS = 4


@contextlib.contextmanager
def local_cluster(nodes: int, cpus: int = 1) -> Iterator[Cluster]:
    """A head that runs no trial, and nodes with so many CPUs."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": _QUICK, **_NODE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            add_node(cluster, cpus)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Cluster, cpus: int = 1) -> None:
    """Start another node; Ray gives each 30 s, which a busy machine may exceed, so one that failed is tried again."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            cluster.add_node(num_cpus=cpus, **_NODE)
        except Exception:  # what Ray raises, with no type of its own
            if not attempts_left:
                raise
            _end_unknown_nodes(cluster)
        else:
            return


def _end_unknown_nodes(cluster: Cluster) -> None:
    """Kill what has been started of nodes that Ray has given up."""
    known = {raylet_of(node).pid for node in cluster.list_all_nodes()}
    for process in psutil.Process().children():
        if process.name() == "raylet" and process.pid not in known:
            process.kill()
            process.wait()


def lose_node_of(process: psutil.Process, cluster: Cluster) -> None:
    """Kill the node that has started this process."""
    raylet = process.ppid()
    (node,) = (node for node in cluster.worker_nodes if raylet_of(node).pid == raylet)
    cluster.remove_node(node, allow_graceful=False)


def raylet_of(node: Any) -> psutil.Process:
    """The process that starts all others of a node."""
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def trial_processes(title: str = "ImplicitFunc") -> list[psutil.Process]:
    """The processes of trials that are running: Tune's actors, or those that Ray gives another title."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if title in " ".join(process.cmdline()):
                found.append(process)
    return found
