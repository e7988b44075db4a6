"""The baselines beside the levels: popularity, random, and a SASRec trained on the same split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vip5core.baselines.simple import SIMPLE_BASELINES, evaluate_baseline
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.errors import unknown_name
from vip5core.evaluation.evaluate import questions
from vip5core.templates import default_templates
from vip5core.trial.result import TrialResult, has_result
from vip5core.vocabulary import BASELINES


@dataclass(frozen=True)
class Baseline:
    """A baseline's answers to the questions that the trials were asked.

    Attributes:
        name: in `vip5core.vocabulary.BASELINES`.
        metrics: as a trial's; without the tasks that it cannot do.
        rows: per user, as a trial's.
    """

    name: str
    metrics: dict[str, float]
    rows: pd.DataFrame

    @property
    def is_trained(self) -> bool:
        return self.name not in SIMPLE_BASELINES


def check_baselines(names: Sequence[str]) -> None:
    """Refuse names of no baseline.

    Raises:
        UserError: for a baseline that does not exist.
    """
    for name in names:
        if name not in BASELINES:
            raise unknown_name("baseline", name, BASELINES)


def find_baselines(names: Sequence[str], dataset: Dataset, config: TrialConfig, sasrec: Path | None) -> list[Baseline]:
    """The baselines that are there, answering what `config` asks of `dataset`.

    Args:
        sasrec: the folder of the one that is trained, if there is one.
    """
    found = []
    asked = questions(dataset, default_templates(), config, "test", config.test_users)
    for name in names:
        if name in SIMPLE_BASELINES:
            found.append(Baseline(name, *evaluate_baseline(name, dataset, asked, config)))
        elif sasrec is not None and has_result(sasrec):
            result = TrialResult.load(sasrec)
            found.append(Baseline(name, result.metrics, result.per_user))
    return found
