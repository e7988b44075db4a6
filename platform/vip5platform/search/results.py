"""The results of a search, read from its storage only; see `load_search`."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from vip5core.metrics import metric
from vip5core.metrics import pareto_front as non_dominated
from vip5platform.search.storage import OBJECTIVES
from vip5platform.search.trial_store import CACHED, FINGERPRINT, IMPOSSIBLE, REPEAT_OF, SECONDS, stored_failure

#: The least number of finished trials from which importances are estimated.
_MIN_TRIALS = 8


@dataclass(frozen=True)
class SearchPoint:
    """A finished trial of a search.

    Attributes:
        number: The number of the proposal, from 0.
        params: The searched settings.
        values: The value of each objective.
        fingerprint: The fingerprint of the trial, which names its folder in `trials/`.
        seconds: The time of the trial.
    """

    number: int
    params: dict[str, Any]
    values: dict[str, float]
    fingerprint: str
    seconds: float | None


def best_trial(study: optuna.Study) -> SearchPoint | None:
    """The finished trial with the best first objective, the earliest if tied; None if none has finished."""
    best: SearchPoint | None = None
    for point in _points(study, _complete(study)):
        first = next(iter(point.values))
        if best is None or metric(first).better(point.values[first], best.values[first]):
            best = point
    return best


def pareto_front(study: optuna.Study) -> list[SearchPoint]:
    """The Pareto-optimal finished trials, the best first objective first."""
    points, objectives = _points(study, _complete(study)), {name: metric(name) for name in objectives_of(study)}
    front = [points[place] for place in non_dominated([point.values for point in points], objectives)]
    first = objectives_of(study)[0]
    return sorted(front, key=lambda point: point.values[first], reverse=metric(first).higher_is_better)


def history(study: optuna.Study) -> pd.DataFrame:
    """All proposals in their order, one per row.

    Returns:
        `number`, `state` (complete, pruned, failed, running, repeat or impossible), a column per searched setting and
        per objective (of finished trials only), `best` (the best first objective so far), `epochs` (reported),
        `seconds`, `cached` (not run for this search), `fingerprint`, `repeat_of` and `failure` (its message).
    """
    names, rows = objectives_of(study), []
    best: float | None = None
    for trial in study.get_trials(deepcopy=False):
        attributes = trial.user_attrs
        values = dict(zip(names, trial.values or [], strict=False)) if trial.state == TrialState.COMPLETE else {}
        if values and (best is None or metric(names[0]).better(values[names[0]], best)):
            best = values[names[0]]
        row: dict[str, Any] = {"number": trial.number, "state": _state(trial), **trial.params}
        row |= {name: values.get(name, math.nan) for name in names}
        row |= {"best": math.nan if best is None else best, "epochs": trial.last_step}
        row |= {"seconds": attributes.get(SECONDS), "cached": attributes.get(CACHED, False)}
        failure = stored_failure(trial)
        row |= {name: attributes.get(name) for name in (FINGERPRINT, REPEAT_OF)}
        rows.append(row | {"failure": failure.message if failure is not None else None})
    return pd.DataFrame(rows)


def importances(study: optuna.Study, objective: str | None = None, seed: int = 0) -> dict[str, float]:
    """The share of an objective's variance that each setting explains, largest first; the shares sum to 1.

    Computed by fANOVA (Hutter et al., 2014) on the finished trials, which are few and concentrated where the search
    looked: a hint, not a test.

    Args:
        study: The stored search.
        objective: One of its objectives; by default the first.
        seed: The seed of the random forest.

    Returns:
        The shares; empty with fewer than eight finished trials, or if all have the same value.
    """
    names = objectives_of(study)
    place = names.index(objective) if objective is not None else 0
    trials = _complete(study)
    varied = [key for key in (trials[0].params if trials else {}) if len({t.params[key] for t in trials}) > 1]
    if len(trials) < _MIN_TRIALS or not varied or len({trial.values[place] for trial in trials}) == 1:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.importance.get_param_importances(
            study,
            evaluator=optuna.importance.FanovaImportanceEvaluator(seed=seed),
            params=varied,
            target=lambda trial: trial.values[place],
        )


def objectives_of(study: optuna.Study) -> list[str]:
    """The objectives of a stored search."""
    return list(study.user_attrs[OBJECTIVES])


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _points(study: optuna.Study, trials: list[FrozenTrial]) -> list[SearchPoint]:
    names = objectives_of(study)
    return [
        SearchPoint(
            trial.number,
            dict(trial.params),
            dict(zip(names, trial.values, strict=True)),
            trial.user_attrs[FINGERPRINT],
            trial.user_attrs.get(SECONDS),
        )
        for trial in trials
    ]


def _state(trial: FrozenTrial) -> str:
    if REPEAT_OF in trial.user_attrs:
        return "repeat"
    if IMPOSSIBLE in trial.user_attrs:
        return "impossible"
    return "failed" if trial.state == TrialState.FAIL else trial.state.name.lower()
