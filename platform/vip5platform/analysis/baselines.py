"""Baselines that levels are compared with: popularity, random, and SASRec trained on the same split."""

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
    """A baseline evaluated on the same test questions as the trials.

    Attributes:
        name: The name of the baseline, one of `vip5core.vocabulary.BASELINES`.
        metrics: Its metrics, named as those of a trial, without tasks that it cannot do.
        rows: Its per-user rows, in the format of a trial's.
    """

    name: str
    metrics: dict[str, float]
    rows: pd.DataFrame

    @property
    def is_trained(self) -> bool:
        return self.name not in SIMPLE_BASELINES


def check_baselines(names: Sequence[str]) -> None:
    """Refuse unknown baselines.

    Raises:
        UserError: For a name that is not a baseline.
    """
    for name in names:
        if name not in BASELINES:
            raise unknown_name("baseline", name, BASELINES)


def find_baselines(names: Sequence[str], dataset: Dataset, config: TrialConfig, sasrec: Path | None) -> list[Baseline]:
    """Evaluate the simple baselines and load SASRec, if it was trained, on the test questions of `config`.

    Args:
        names: The baselines to find; one without a result is left out.
        dataset: The dataset of the trials.
        config: The config of a trial, which determines the test questions.
        sasrec: The folder of the trained SASRec, if there is one.
    """
    found = []
    asked = questions(dataset, default_templates(), config, "test", config.test_users)
    for name in names:
        if name in SIMPLE_BASELINES:
            found.append(Baseline(name, *evaluate_baseline(name, dataset, asked, config)))
        elif name == "sasrec" and sasrec is not None and has_result(sasrec):
            result = TrialResult.load(sasrec)
            found.append(Baseline(name, result.metrics, result.per_user))
    return found
