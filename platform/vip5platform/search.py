"""Search: Optuna chooses the trials, on validation alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from ray.tune.search.optuna import OptunaSearch

from vip5core.config import TrialConfig
from vip5core.errors import UserError, unknown_name
from vip5core.metrics.table import metric


def optuna_search(space: Mapping[str, Any], objectives: Sequence[str], seed: int = 0) -> OptunaSearch:
    """A searcher over `space` that is told nothing of the test.

    Args:
        space: setting of `TrialConfig` to an Optuna distribution (`optuna.distributions`).
        objectives: `valid/` metrics; several give a Pareto front. Each one's direction is the metric's own.
        seed: of the sampler.

    Raises:
        UserError: for an objective that is not on validation, or a setting that does not exist.
    """
    if not objectives:
        raise UserError("a search needs at least one objective, such as valid/sequential/ndcg_at_10")
    for name in objectives:
        if not name.startswith("valid/"):
            raise UserError(f"objective {name!r}: a search may look at validation only, so name a valid/ metric")
    for key in space:
        if key not in TrialConfig.model_fields:
            raise unknown_name("setting", key, TrialConfig.model_fields)
    modes = ["max" if metric(name).higher_is_better else "min" for name in objectives]
    one = len(objectives) == 1
    return OptunaSearch(
        dict(space),
        metric=objectives[0] if one else list(objectives),
        mode=modes[0] if one else modes,
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
