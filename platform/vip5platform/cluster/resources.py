"""The resources of a cluster and of each trial."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from vip5core.errors import UserError

#: What `ray up` leaves on the head of a cluster, for its autoscaler.
_BY_RAY_UP = Path("~/ray_bootstrap_config.yaml")


@dataclass(frozen=True)
class ClusterResources:
    """The resources of a cluster.

    Attributes:
        cpus: The CPUs of all nodes.
        gpus: The GPUs of all nodes.
        cpus_per_gpu: The CPUs per GPU of the node with the fewest.
        most_cpus: The CPUs that an autoscaler may bring it to; 0 without one.
        most_gpus: The same for GPUs.
    """

    cpus: float
    gpus: float
    cpus_per_gpu: float = math.inf
    most_cpus: float = 0
    most_gpus: float = 0

    @classmethod
    def of_cluster(cls, may_grow: bool = True) -> ClusterResources:
        """The current resources of the cluster that this process is connected to, and what may be added to them."""
        import ray  # late, because a study that is finished has no cluster, and this takes a second

        found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in found]
        most = most_resources() if may_grow else {}
        return cls(
            cpus=sum(cpus for cpus, _ in nodes),
            gpus=sum(gpus for _, gpus in nodes),
            cpus_per_gpu=min((cpus / gpus for cpus, gpus in nodes if gpus), default=0.0),
            most_cpus=most.get("CPU", 0),
            most_gpus=most.get("GPU", 0),
        )

    @classmethod
    def of_this_machine(cls) -> ClusterResources:
        """What a cluster that is started here will have, found out without starting one."""
        import psutil
        import torch

        return cls(cpus=psutil.cpu_count() or 1, gpus=torch.cuda.device_count())

    def with_nodes_to_come(self, processes: int, gpus: float) -> ClusterResources:
        """The resources once an autoscaler has added nodes for `processes` with `gpus` GPUs and one CPU each."""
        if not gpus:
            return replace(self, cpus=max(self.cpus, min(processes, self.most_cpus)))
        wanted = math.ceil(processes / _per_gpu(gpus))
        more = replace(self, gpus=max(self.gpus, min(wanted, self.most_gpus)))
        return replace(more, cpus=max(self.cpus, processes)) if more.gpus > self.gpus else self

    def places(self, gpus: float) -> float:
        """How many workers with `gpus` GPUs fit on the GPUs: each takes its share of a single one."""
        return int(self.gpus) * _per_gpu(gpus) if gpus else math.inf


def _per_gpu(share: float) -> int:
    return int(1 / share + 1e-9)  # 1 / 0.1 may be a little less than 10


def most_resources() -> dict[str, float]:
    """The resources that an autoscaler may bring the cluster to, by Ray's names; empty without one."""
    from ray._private.state import state

    most = state.get_max_resources_from_cluster_config()
    if most is None and _BY_RAY_UP.expanduser().is_file():  # the autoscaler tells no node types, but its file does
        config = yaml.safe_load(_BY_RAY_UP.expanduser().read_text("utf-8")) or {}
        kinds = config.get("available_node_types", {}).items()
        workers = [kind.get("resources", {}) for name, kind in kinds if name != config.get("head_node_type")]
        counted = {"CPU"} if workers else set()
        if any(not kind or kind.get("GPU") for kind in workers):  # of a kind that says nothing, anything may come
            counted.add("GPU")
        if workers and all("memory" in kind for kind in workers):
            counted.add("memory")
        return dict.fromkeys(counted, math.inf)
    return dict(most or {})


@dataclass(frozen=True)
class TrialResources:
    """The resources of one trial.

    Attributes:
        workers: The number of worker processes.
        cpus: The CPUs of each worker.
        gpus: The GPUs of each worker; a fraction lets workers share a GPU.
    """

    workers: int
    cpus: float
    gpus: float

    @classmethod
    def of(cls, cluster: ClusterResources, trials: int, workers: int = 1, gpus: float | None = None) -> TrialResources:
        """Divide a cluster among trials: an even share of the CPUs with GPUs, one CPU per worker without.

        A trial on CPUs uses one thread, because sums over several threads differ in rounding and a trial must give the
        same numbers however many run at the same time.

        Args:
            cluster: The resources of the cluster, including nodes that an autoscaler will add.
            trials: The number of trials to run.
            workers: The workers of each trial.
            gpus: The GPUs of each worker, at most one; by default one if the cluster has GPUs.

        Raises:
            UserError: If one trial needs more than the cluster has.
        """
        gpus = gpus if gpus is not None else (1.0 if cluster.gpus else 0.0)
        places = cluster.places(gpus)
        if workers > 1 and gpus and _per_gpu(gpus) > 1:
            raise UserError(
                f"--gpus-per-worker {gpus:g} with {workers} workers per trial: two of them would lie on one GPU, which "
                "NCCL refuses; give each more than half of one, or run more trials at once instead of more workers"
            )
        if workers > places:
            raise UserError(
                f"--gpus-per-worker {gpus:g} with {workers} workers per trial: the cluster has {cluster.gpus:g} GPUs, "
                f"with room for {places:g} such workers; use fewer, or a smaller share"
            )
        if workers > cluster.cpus:
            raise UserError(
                f"--workers-per-trial {workers}: each needs a CPU, but the cluster has {cluster.cpus:g}; use fewer, or "
                "add nodes"
            )
        if not gpus:
            return cls(workers, 1, 0.0)
        at_once = max(1, min(trials, int(places / workers)))
        return cls(workers, max(1, int(min(cluster.cpus / at_once / workers, cluster.cpus_per_gpu * gpus))), gpus)

    def at_once(self, cluster: ClusterResources) -> int:
        """The number of trials that run at the same time."""
        by_cpu = cluster.cpus / (self.cpus * self.workers)
        return max(1, int(min(by_cpu, cluster.places(self.gpus) / self.workers)))
