"""What a cluster has, and what each trial gets of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import ray

from vip5core.errors import UserError


@dataclass(frozen=True)
class ClusterResources:
    """What the cluster has, now.

    Attributes:
        cpus: of all nodes.
        gpus: of all nodes.
        cpus_per_gpu: on that node with GPUs which has the fewest.
    """

    cpus: float
    gpus: float
    cpus_per_gpu: float = math.inf

    @classmethod
    def of_cluster(cls) -> ClusterResources:
        """Those of the Ray that this process is connected to."""
        found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in found]
        return cls(
            cpus=sum(cpus for cpus, _ in nodes),
            gpus=sum(gpus for _, gpus in nodes),
            cpus_per_gpu=min((cpus / gpus for cpus, gpus in nodes if gpus), default=0.0),
        )

    def with_nodes_to_come(self, processes: int, gpus: float) -> ClusterResources:
        """What there will be once an autoscaler has added room for `processes` with `gpus` GPUs and a CPU each."""
        return replace(self, cpus=max(self.cpus, processes), gpus=max(self.gpus, processes * gpus))


@dataclass(frozen=True)
class TrialResources:
    """What one trial gets of the cluster.

    Attributes:
        workers: processes.
        cpus: of each worker.
        gpus: of each worker; a fraction lets workers share a GPU.
    """

    workers: int
    cpus: float
    gpus: float

    @classmethod
    def of(cls, cluster: ClusterResources, trials: int, workers: int = 1, gpus: float | None = None) -> TrialResources:
        """An even share of the CPUs on a GPU, as far as one node has them; without GPUs one CPU each.

        A trial that computes on CPUs computes with one thread: sums by several come out differently, and a trial must
        end with the same numbers however many run beside it.

        Args:
            cluster: what there is, nodes to come included.
            trials: how many are to run.
            workers: of each trial.
            gpus: of each worker; if None, one where there are GPUs.

        Raises:
            UserError: for impossible numbers, or if one trial needs more GPUs than there are and will be.
        """
        if workers < 1:
            raise UserError(f"--workers-per-trial {workers}: must be at least 1")
        if gpus is not None and not 0 <= gpus < math.inf:
            raise UserError(f"--gpus-per-worker {gpus}: must be a number from 0")
        gpus = gpus if gpus is not None else (1.0 if cluster.gpus else 0.0)
        if gpus * workers > cluster.gpus:
            raise UserError(
                f"--gpus-per-worker {gpus:g} with {workers} workers per trial: the cluster has {cluster.gpus:g} GPUs"
            )
        if workers > cluster.cpus:
            raise UserError(f"--workers-per-trial {workers}: each needs a CPU, and the cluster has {cluster.cpus:g}")
        if not gpus:
            return cls(workers, 1, 0.0)
        at_once = max(1, min(trials, int(cluster.gpus / gpus / workers)))
        return cls(workers, max(1, int(min(cluster.cpus / at_once / workers, cluster.cpus_per_gpu * gpus))), gpus)

    def at_once(self, cluster: ClusterResources) -> int:
        """How many trials run side by side."""
        by_cpu = cluster.cpus / (self.cpus * self.workers)
        by_gpu = cluster.gpus / (self.gpus * self.workers) if self.gpus else by_cpu
        return max(1, int(min(by_cpu, by_gpu)))
