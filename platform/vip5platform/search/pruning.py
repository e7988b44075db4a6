"""Ending hopeless trials early: by Optuna's pruner, whose state is in the storage, through Tune's scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import optuna
from ray.tune.schedulers import FIFOScheduler

from vip5core.errors import Failure
from vip5platform.cluster.failures import failure_of_trial

#: Successive halving (ASHA): of the trials that reach epoch 1, 3, 9, …, the best third goes on.
_FIRST_RUNG, _KEPT = 1, 3


def pruner() -> optuna.pruners.BasePruner:
    """ASHA without promotion (Li et al., 2018): a trial is judged when it reaches a rung, against those before it."""
    return optuna.pruners.SuccessiveHalvingPruner(_FIRST_RUNG, _KEPT)


class Judge(Protocol):
    """Who decides; see `TrialSearcher`."""

    def ends_early(self, trial_id: str, result: Mapping[str, Any]) -> bool: ...

    def note_failure(self, trial_id: str, failure: Failure) -> None: ...


class PruningScheduler(FIFOScheduler):
    """Ends the trials that a searcher's pruner gives up.

    Tune asks its scheduler about a result before it tells the searcher, and does not tell it at all of the result after
    which a trial is to end; so it is the scheduler that brings the results to the searcher.
    """

    def __init__(self, searcher: Judge) -> None:
        super().__init__()
        self.searcher = searcher

    def __getstate__(self) -> dict[str, Any]:
        """See `TrialSearcher.__getstate__`."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = self.STOP if self.searcher.ends_early(trial.trial_id, result) else self.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self.searcher.note_failure(trial.trial_id, failure_of_trial(trial))
        super().on_trial_error(tune_controller, trial)
