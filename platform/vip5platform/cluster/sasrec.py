"""The bars beside the levels: popularity, random, and a SASRec trained on the same split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import ray
from ray.exceptions import RayError
from vip5platform.cluster.failures import failure_of

from vip5core.baselines.sasrec import run_sasrec, sasrec_folder
from vip5core.baselines.simple import BASELINES as SIMPLE
from vip5core.baselines.simple import evaluate_baseline
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.errors import unknown_name
from vip5core.evaluation.evaluate import questions
from vip5core.templates import default_templates
from vip5core.trial.result import TrialResult
from vip5core.vocabulary import RANKING_TASKS

SASREC = "sasrec"
BASELINES = (*SIMPLE, SASREC)


@dataclass(frozen=True)
class Baseline:
    """The answers of something simpler to the questions that the trials were asked.

    Attributes:
        name: in `BASELINES`.
        metrics: as a trial's; without the tasks that it cannot do.
        rows: per user, as a trial's.
    """

    name: str
    metrics: dict[str, float]
    rows: pd.DataFrame

    @property
    def trained(self) -> bool:
        return self.name == SASREC


def check_baselines(names: Sequence[str]) -> None:
    """Raises: UserError for one that does not exist."""
    for name in names:
        if name not in BASELINES:
            raise unknown_name("baseline", name, BASELINES)


def untrained_baselines(
    names: Sequence[str], grounds: Sequence[tuple[Dataset, TrialConfig]], home: Path
) -> list[tuple[Dataset, TrialConfig]]:
    """Those datasets, each with the config whose questions are asked, whose SASRec is wanted and not there."""
    if SASREC not in names:
        return []
    return [(d, c) for d, c in grounds if set(c.tasks) & set(RANKING_TASKS) and not sasrec_folder(d, c, home).is_dir()]


def trained_baselines(
    names: Sequence[str], asked: Mapping[str, tuple[Dataset, TrialConfig]], home: Path
) -> dict[str, str]:
    """The name of the folder of each group's SASRec, if it is wanted; see `StudyRecord.sasrec`."""
    if SASREC not in names:
        return {}
    return {group: sasrec_folder(dataset, config, home).name for group, (dataset, config) in asked.items()}


class TrainingBaselines:
    """SASRec in training, beside the trials on the Ray that runs.

    Args:
        todo: see `untrained_baselines`.
        home: they go to `home/baselines/`.
        gpus: that one may use.
    """

    def __init__(self, todo: Sequence[tuple[Dataset, TrialConfig]], home: Path, gpus: float) -> None:
        train = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=1)(_sasrec)
        self._waiting = {train.remote(str(data.folder), config, str(home), gpus > 0): data for data, config in todo}

    def wait(self, progress: Callable[[int, int, str], None] = lambda done, total, news: None) -> list[str]:
        """Until all are trained.

        Args:
            progress: called with (done, total, news).

        Returns:
            Why one could not be trained, for each of them.
        """
        total, reasons = len(self._waiting), []
        while self._waiting:
            progress(total - len(self._waiting), total, "")
            ready, _ = ray.wait(list(self._waiting))
            for reference in ready:
                dataset = self._waiting.pop(reference)
                try:
                    ray.get(reference)
                except RayError as error:
                    reasons.append(f"{dataset.name}: {failure_of(error)}")
        return reasons


def _sasrec(dataset: str, config: TrialConfig, home: str, on_gpu: bool) -> None:
    run_sasrec(Dataset.load(dataset), config, Path(home), device="cuda" if on_gpu else "cpu")


def find_baselines(names: Sequence[str], dataset: Dataset, config: TrialConfig, sasrec: Path | None) -> list[Baseline]:
    """The baselines that are there, answering what `config` asks of `dataset`.

    Args:
        sasrec: the folder of the one that is trained, if there is one.
    """
    found = []
    asked = questions(dataset, default_templates(), config, "test", config.test_users)
    for name in names:
        if name in SIMPLE:
            found.append(Baseline(name, *evaluate_baseline(name, dataset, asked, config)))
        elif sasrec is not None and sasrec.is_dir():
            result = TrialResult.load(sasrec)
            found.append(Baseline(name, result.metrics, result.per_user))
    return found
