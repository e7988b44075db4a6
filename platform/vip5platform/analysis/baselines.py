"""Baselines that levels are compared with: popularity, random, and SASRec trained on the same split.

All their answers are kept in folders of the form of a trial's, so that a report reads them without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vip5core.baselines.identity import ranking_tasks, sasrec_folder, simple_folder
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.errors import unknown_name
from vip5core.home import Home
from vip5core.trial.result import TrialResult, has_result
from vip5core.vocabulary import BASELINES

#: The baseline that is trained; the others answer at once.
SASREC = "sasrec"


@dataclass(frozen=True)
class Baseline:
    """A baseline evaluated on the same test questions as the trials.

    Attributes:
        name: The name of the baseline, one of `vip5core.vocabulary.BASELINES`.
        metrics: Its metrics, named as those of a trial, without tasks that it cannot do.
        rows: Its per-user rows, in the format of a trial's.
        lists: What it recommends to each user; None if that was not recorded.
    """

    name: str
    metrics: dict[str, float]
    rows: pd.DataFrame
    lists: pd.DataFrame | None = None

    @property
    def is_trained(self) -> bool:
        return self.name == SASREC


def check_baselines(names: Sequence[str]) -> None:
    """Refuse unknown baselines.

    Raises:
        UserError: For a name that is not a baseline.
    """
    for name in names:
        if name not in BASELINES:
            raise unknown_name("baseline", name, BASELINES)


def find_baselines(
    names: Sequence[str], dataset: Dataset, config: TrialConfig, home: Home, sasrec: Path | None
) -> list[Baseline]:
    """The answers of baselines to the test questions of `config`.

    Those of the simple ones are computed unless they are stored; SASRec is loaded if it was trained.

    Args:
        names: The baselines to find; one without a result is left out.
        dataset: The dataset of the trials.
        config: The config of a trial, which determines the test questions.
        home: The home whose `baselines/` the answers are kept in.
        sasrec: The folder of the trained SASRec, if there is one.
    """
    folders = {name: sasrec if name == SASREC else _answer(name, dataset, config, home) for name in names}
    results = {name: TrialResult.load(folder) for name, folder in folders.items() if folder and has_result(folder)}
    return [Baseline(name, result.metrics, result.per_user, result.lists) for name, result in results.items()]


def _answer(name: str, dataset: Dataset, config: TrialConfig, home: Home) -> Path:
    """The folder of a simple baseline's answers, which are computed if they are missing."""
    folder = simple_folder(name, dataset, config, home)
    if not has_result(home.fetch(folder)):
        from vip5core.baselines.simple import run_baseline  # late, because it imports PyTorch

        run_baseline(name, dataset, config, home)
    return folder


def datasets_without_sasrec(
    names: Sequence[str], questions: Sequence[tuple[Dataset, TrialConfig]], home: Home
) -> list[tuple[Dataset, TrialConfig]]:
    """The datasets whose SASRec is requested but not trained yet, each with the config of its test questions."""
    if SASREC not in names:
        return []
    return [(d, c) for d, c in questions if ranking_tasks(c) and not home.fetch(sasrec_folder(d, c, home)).is_dir()]


def sasrec_folders(
    names: Sequence[str], questions: Mapping[str, tuple[Dataset, TrialConfig]], home: Home
) -> dict[str, str]:
    """The folder name of SASRec for each dataset, if SASRec is requested; see `StudyRecord.sasrec`."""
    if SASREC not in names:
        return {}
    return {group: sasrec_folder(dataset, config, home).name for group, (dataset, config) in questions.items()}
