"""Trains the SASRec baseline once per dataset, as Ray tasks alongside the trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ray
from ray.exceptions import RayError

from vip5core.baselines.identity import sasrec_folder
from vip5core.baselines.sasrec import run_sasrec
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset, open_dataset
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.progress import Progress, no_progress
from vip5platform.cluster.failures import failure_of

#: Seconds after which a wait looks whether it should end.
_POLL_S = 0.5


class SasrecTraining:
    """SASRec models in training, as Ray tasks alongside other work.

    Args:
        home: The home whose `baselines/` they are written to.

    Attributes:
        spans: When each model that has been trained was in training, in seconds since the epoch.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.spans: list[tuple[float, float]] = []
        self._begun: set[Path] = set()
        self._waiting: dict[ray.ObjectRef, Dataset] = {}

    def start(self, todo: Sequence[tuple[Dataset, TrialConfig]], gpus: float) -> None:
        """Start those that are not in training yet.

        Args:
            todo: The datasets to train on; see `analysis.baselines.datasets_without_sasrec`.
            gpus: The GPUs that each may use.
        """
        # On a GPU the process ends with its task, for it would keep memory there; on a CPU the next task starts sooner.
        train = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=1 if gpus else 0)(_train)
        for data, config in todo:
            folder = sasrec_folder(data, config, self.home)
            if folder not in self._begun:
                self._begun.add(folder)
                self._waiting[train.remote(self.home.name(data.folder), config, self.home, gpus > 0)] = data

    def wait(
        self, progress: Progress = no_progress, until: Callable[[], bool] = lambda: False
    ) -> list[tuple[str, Failure]]:
        """Wait until all models are trained.

        Args:
            progress: Called with (done, total, news).
            until: Ends the wait early once it is true.

        Returns:
            The name of the dataset and the failure of each model that could not be trained.
        """
        failures: list[tuple[str, Failure]] = []
        while self._waiting and not until():
            progress(len(self._begun) - len(self._waiting), len(self._begun))
            ready, _ = ray.wait(list(self._waiting), timeout=_POLL_S)
            for reference in ready:
                dataset = self._waiting.pop(reference)
                try:
                    self.spans.append(ray.get(reference))
                except RayError as error:
                    failures.append((dataset.name, failure_of(error)))
        progress(len(self._begun) - len(self._waiting), len(self._begun))
        return failures


def _train(dataset: str, config: TrialConfig, home: Home, on_gpu: bool) -> tuple[float, float]:
    """Train SASRec; returns when this began and ended."""
    begin = time.time()
    run_sasrec(open_dataset(home.fetch(home.path(dataset))), config, home, device="cuda" if on_gpu else "cpu")
    return begin, time.time()
