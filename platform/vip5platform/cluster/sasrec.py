"""SASRec beside the trials: trained once for each dataset, on the Ray that runs."""

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
    """Those datasets, each with the config whose questions are asked, whose SASRec is wanted and not there."""
    if SASREC not in names:
        return []
    return [
        (d, c) for d, c in questions if set(c.tasks) & set(RANKING_TASKS) and not sasrec_folder(d, c, home).is_dir()
    ]


def sasrec_folders(
    names: Sequence[str], questions: Mapping[str, tuple[Dataset, TrialConfig]], home: Home
) -> dict[str, str]:
    """The name of the folder of each group's SASRec, if it is wanted; see `StudyRecord.sasrec`."""
    if SASREC not in names:
        return {}
    return {group: sasrec_folder(dataset, config, home).name for group, (dataset, config) in questions.items()}


class SasrecTraining:
    """SASRec in training, beside the trials on the Ray that runs.

    Args:
        todo: see `datasets_without_sasrec`.
        home: they go to `home/baselines/`.
        gpus: that one may use.
    """

    def __init__(self, todo: Sequence[tuple[Dataset, TrialConfig]], home: Home, gpus: float) -> None:
        train = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=1)(_train)
        self._waiting = {train.remote(str(data.folder), config, home, gpus > 0): data for data, config in todo}

    def wait(self, progress: Progress = no_progress) -> list[tuple[str, Failure]]:
        """Wait until all are trained.

        Args:
            progress: called with (done, total, news).

        Returns:
            The dataset's name and the failure of each that could not be trained.
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
