"""A metric is declared in one place, and every part of the project finds it there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from optuna.study import StudyDirection
from support.studies import study_record
from support.trials import small
from vip5platform.analysis.record import RecordedTrial, StudyRecord
from vip5platform.analysis.results import load_results
from vip5platform.analysis.significance import unit_values
from vip5platform.cli.vip5 import main as vip5
from vip5platform.report.sections.level_table import level_table
from vip5platform.report.sections.pairs import comparison_rows as comparison_table
from vip5platform.search.space import directions

from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.metrics import METRICS, Metric, compared_names, metric, register
from vip5core.trial.result import TrialResult
from vip5core.trial.run import run_trial
from vip5core.trial.spec import StudyInputs

NAME = "test/sequential/reciprocal_rank_at_10"


@pytest.fixture
def toy() -> Iterator[Metric]:
    """MRR@10, declared as any other metric is: by one object in the registry."""
    declared = register(
        Metric(
            *("sequential", "reciprocal_rank_at_10", "MRR@10", True, ".3f"),
            splits=("valid", "test"),
            columns=("rank",),
            per_unit=lambda rows: np.where(rows["rank"].between(1, 10), 1.0 / rows["rank"].clip(lower=1), 0.0),
            in_table=True,
            in_comparisons=True,
        )
    )
    yield declared
    del METRICS["sequential", "reciprocal_rank_at_10"]


@pytest.fixture
def trials(text_only: StudyInputs) -> dict[tuple[str, int], TrialResult]:
    """Two levels of two seeds each."""
    made = {}
    for level, rate in (("slow", 1e-4), ("fast", 1e-2)):
        for seed in (0, 1):
            config = small(epochs=1, learning_rate=rate, tuning="full", seed=seed, tasks=("sequential",))
            folder = run_trial(text_only.spec(config), text_only.home, lambda metrics: None)
            made[level, seed] = TrialResult.load(folder)
    return made


def record_of(trials: dict[tuple[str, int], TrialResult], metrics: list[str]) -> StudyRecord:
    return study_record(
        name="toy",
        question="Which rate?",
        key="key",
        factors=["rate"],
        metrics=metrics,
        trials=[
            RecordedTrial(cell={"rate": level}, seed=seed, group="minimart:40", fingerprint=result.folder.name)
            for (level, seed), result in trials.items()
        ],
    )


@pytest.mark.slow
def test_a_metric_that_is_declared_once_is_found_everywhere(toy, trials, text_only, capsys):
    home: Home = text_only.home
    result = trials["fast", 0]

    # Computed per user and summarised, on the test and, of each epoch, on validation.
    values = unit_values(result.per_user, NAME)
    ranks = result.per_user.set_index("user")["rank"]
    assert values.tolist() == [1 / r if 0 < r <= 10 else 0.0 for r in ranks.loc[values.index.get_level_values("user")]]
    assert result.metrics[NAME] == pytest.approx(values.mean())
    assert all(NAME.replace("test/", "valid/") in epoch for epoch in result.history)

    # In the table of a study that did not ask for it, and in the comparisons of one that did.
    table = level_table(load_results(record_of(trials, ["test/sequential/ndcg_at_10"]), home))
    assert "MRR@10" in [column.head for column in table.columns]
    compared = comparison_table(load_results(record_of(trials, [NAME]), home))
    assert compared["metric"].tolist() == [NAME]
    assert compared["units"].tolist() == [len(values)]

    # In `vip5 compare`, without being asked for.
    runs = [",".join(trials[level, seed].folder.name for seed in (0, 1)) for level in ("slow", "fast")]
    with pytest.raises(SystemExit) as left:
        vip5(["compare", *runs, "--home", str(home)])
    assert left.value.code == 0
    assert "sequential/reciprocal_rank_at_10" in capsys.readouterr().out

    # An objective of searches on validation, and only there.
    assert directions([NAME.replace("test/", "valid/")]) == [StudyDirection.MAXIMIZE]
    with pytest.raises(UserError, match="validation"):
        directions([NAME])


def test_it_is_gone_with_its_declaration():
    assert NAME not in compared_names()
    with pytest.raises(UserError, match="unknown metric"):
        metric(NAME)
