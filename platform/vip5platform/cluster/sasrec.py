"""Trains the SASRec baseline once per dataset, as Ray tasks alongside the trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ray
from ray.exceptions import RayError

from vip5core.baselines.sasrec import run_sasrec, sasrec_folder
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset, open_dataset
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.progress import Progress, no_progress
from vip5core.vocabulary import RANKING_TASKS
from vip5platform.cluster.failures import failure_of

SASREC = "sasrec"


def datasets_without_sasrec(
    names: Sequence[str], questions: Sequence[tuple[Dataset, TrialConfig]], home: Home
) -> list[tuple[Dataset, TrialConfig]]:
    """The datasets whose SASRec is requested but not trained yet, each with the config of its test questions."""
    if SASREC not in names:
        return []
    return [
        (d, c) for d, c in questions if set(c.tasks) & set(RANKING_TASKS) and not sasrec_folder(d, c, home).is_dir()
    ]


def sasrec_folders(
    names: Sequence[str], questions: Mapping[str, tuple[Dataset, TrialConfig]], home: Home
) -> dict[str, str]:
    """The folder name of SASRec for each dataset, if SASRec is requested; see `StudyRecord.sasrec`."""
    if SASREC not in names:
        return {}
    return {group: sasrec_folder(dataset, config, home).name for group, (dataset, config) in questions.items()}


class SasrecTraining:
    """SASRec models in training, as Ray tasks alongside the trials.

    Args:
        todo: The datasets to train on; see `datasets_without_sasrec`.
        home: The home whose `baselines/` they are written to.
        gpus: The GPUs that each may use.
    """

    def __init__(self, todo: Sequence[tuple[Dataset, TrialConfig]], home: Home, gpus: float) -> None:
        train = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=1)(_train)
        self._waiting = {train.remote(str(data.folder), config, home, gpus > 0): data for data, config in todo}

    def wait(self, progress: Progress = no_progress) -> list[tuple[str, Failure]]:
        """Wait until all models are trained.

        Args:
            progress: Called with (done, total, news).

        Returns:
            The name of the dataset and the failure of each model that could not be trained.
        """
        total = len(self._waiting)
        failures: list[tuple[str, Failure]] = []
        while self._waiting:
            progress(total - len(self._waiting), total, "")
            ready, _ = ray.wait(list(self._waiting))
            for reference in ready:
                dataset = self._waiting.pop(reference)
                try:
                    ray.get(reference)
                except RayError as error:
                    failures.append((dataset.name, failure_of(error)))
        return failures


def _train(dataset: str, config: TrialConfig, home: Home, on_gpu: bool) -> None:
    run_sasrec(open_dataset(dataset), config, home, device="cuda" if on_gpu else "cpu")
