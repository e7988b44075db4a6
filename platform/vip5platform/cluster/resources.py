"""The resources of a cluster and of each trial."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from vip5core.errors import UserError


@dataclass(frozen=True)
class ClusterResources:
    """The resources of a cluster.

    Attributes:
        cpus: The CPUs of all nodes.
        gpus: The GPUs of all nodes.
        cpus_per_gpu: The CPUs per GPU of the node with the fewest.
    """

    cpus: float
    gpus: float
    cpus_per_gpu: float = math.inf

    @classmethod
    def of_cluster(cls) -> ClusterResources:
        """The current resources of the cluster that this process is connected to."""
        import ray  # late, because a study that is finished has no cluster, and this takes a second

        found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in found]
        return cls(
            cpus=sum(cpus for cpus, _ in nodes),
            gpus=sum(gpus for _, gpus in nodes),
            cpus_per_gpu=min((cpus / gpus for cpus, gpus in nodes if gpus), default=0.0),
        )

    def with_nodes_to_come(self, processes: int, gpus: float) -> ClusterResources:
        """The resources once an autoscaler has added nodes for `processes` with `gpus` GPUs and one CPU each."""
        return replace(self, cpus=max(self.cpus, processes), gpus=max(self.gpus, processes * gpus))


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
            gpus: The GPUs of each worker; by default one if the cluster has GPUs.

        Raises:
            UserError: For impossible numbers, or if one trial needs more than the cluster has.
        """
        if workers < 1:
            raise UserError(f"--workers-per-trial {workers}: must be at least 1")
        if gpus is not None and not 0 <= gpus < math.inf:
            raise UserError(f"--gpus-per-worker {gpus}: must be a finite number, at least 0")
        gpus = gpus if gpus is not None else (1.0 if cluster.gpus else 0.0)
        if gpus * workers > cluster.gpus:
            raise UserError(
                f"--gpus-per-worker {gpus:g} with {workers} workers per trial: the cluster has {cluster.gpus:g} GPUs"
            )
        if workers > cluster.cpus:
            raise UserError(
                f"--workers-per-trial {workers}: each needs a CPU, but the cluster has {cluster.cpus:g}; use fewer"
            )
        if not gpus:
            return cls(workers, 1, 0.0)
        at_once = max(1, min(trials, int(cluster.gpus / gpus / workers)))
        return cls(workers, max(1, int(min(cluster.cpus / at_once / workers, cluster.cpus_per_gpu * gpus))), gpus)

    def at_once(self, cluster: ClusterResources) -> int:
        """The number of trials that run at the same time."""
        by_cpu = cluster.cpus / (self.cpus * self.workers)
        by_gpu = cluster.gpus / (self.gpus * self.workers) if self.gpus else by_cpu
        return max(1, int(min(by_cpu, by_gpu)))
