"""`python -m benchmarks.head_memory`: what a cluster's head holds in memory while trials with several workers run.

The head offers no CPU and the workers lie on other nodes, as on the cluster of `cluster.yaml`; here all nodes are
processes of one machine. Counted is proportional set size: a page that several processes share is divided among them.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from vip5platform.environment import set_environment

from benchmarks.fleet import IgnoringObserver
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.sources import prepare
from vip5core.home import Home
from vip5core.model import save_backbone
from vip5core.trial.fresh_backbone import fresh_backbone
from vip5core.trial.p5_spec import p5_config
from vip5core.trial.spec import StudyInputs, TrialSpec

#: Trials that run until they are stopped.
_ENDLESS = {
    "backbone": "tiny",
    "image_tokens": 0,
    "epochs": 10_000,
    "batch_size": 64,
    "samples_per_user": (1, 0, 0, 0),
    "validation_users": 5,
    "test_users": 5,
    "num_beams": 10,
    "tasks": ("sequential",),
}
#: Epochs after which all modules of a process are imported and its first batches are behind it.
_SETTLED = 3


class _Measurement(IgnoringObserver):
    """Ends the trials once each of them has settled, after it has counted the memory of the head.

    Args:
        trials: How many run.
        head: The raylet of the head.
    """

    def __init__(self, trials: int, head: psutil.Process) -> None:
        super().__init__()
        self.trials, self.head = trials, head
        self.settled: set[str] = set()
        self.memory: Counter[str] = Counter()

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
        if metrics["epoch"] >= _SETTLED:
            self.settled.add(spec.fingerprint)
        if len(self.settled) == self.trials:
            self.memory = _memory_of_children(self.head)
            raise KeyboardInterrupt  # which is how a study is stopped


def _memory_of_children(raylet: psutil.Process) -> Counter[str]:
    """The memory of the processes that a node has started, in MB, by what each is there for."""
    found: Counter[str] = Counter()
    for process in raylet.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            name = re.match(r"ray::(\w+)", title)
            found[name[1] if name else "Ray's agents"] += process.memory_full_info().pss / 2**20
    return found


def measure(trials: int, workers: int) -> Counter[str]:
    """The memory of a head's processes in MB while so many trials run, each on a node of its own."""
    from vip5platform.cluster.ray_cluster import ray_session
    from vip5platform.cluster.resources import TrialResources
    from vip5platform.cluster.tune import run_trials

    from benchmarks.local_cluster import local_cluster, raylet_of

    with (
        tempfile.TemporaryDirectory() as folder,
        local_cluster(trials, workers) as cluster,
        ray_session(cluster.address),
    ):
        home = Home(Path(folder))
        dataset = prepare("minimart:40", None, home)
        backbone = save_backbone(fresh_backbone(Dataset.load(dataset), p5_config()), home.backbones / "tiny")
        inputs = StudyInputs(home, dataset, backbone, {})
        specs = [inputs.spec(TrialConfig(**_ENDLESS, seed=seed)) for seed in range(trials)]
        seen = _Measurement(trials, raylet_of(cluster.head_node))
        with contextlib.suppress(KeyboardInterrupt):
            run_trials(specs, home, TrialResources(workers, 1, 0.0), trials, seen)
        seen.memory["driver"] = round(psutil.Process().memory_full_info().pss / 2**20)
        return seen.memory


def main() -> None:
    """Measure for each number of trials, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head_memory", description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1, 2], metavar="N", help="how many run at once")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of each trial")
    given = parser.parse_args()
    set_environment(None)
    found = {trials: measure(trials, given.workers) for trials in given.trials}
    table = Table("process on the head (MB)", *(f"{trials} trials" for trials in found))
    for name in sorted({name for memory in found.values() for name in memory}):
        table.add_row(name, *(f"{memory[name]:,.0f}" for memory in found.values()))
    table.add_section()
    table.add_row("all", *(f"{memory.total():,.0f}" for memory in found.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
