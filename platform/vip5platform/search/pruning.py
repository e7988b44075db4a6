"""Stops unpromising trials early: Optuna's pruner decides, with its state in the storage, and Tune's scheduler acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import optuna
from ray.tune.schedulers import FIFOScheduler

from vip5core.errors import Failure
from vip5platform.cluster.failures import failure_of_trial

#: Successive halving (ASHA): of the trials that reach epoch 1, 3, 9, …, the best third continues.
_FIRST_RUNG, _KEPT = 1, 3


def pruner() -> optuna.pruners.BasePruner:
    """ASHA without promotion (Li et al., 2018): at each rung, a trial is compared with those that reached it before."""
    return optuna.pruners.SuccessiveHalvingPruner(_FIRST_RUNG, _KEPT)


class PruningJudge(Protocol):
    """Decides which trials stop early; see `TrialSearcher`."""

    def should_stop(self, trial_id: str, result: Mapping[str, Any]) -> bool: ...

    def note_failure(self, trial_id: str, failure: Failure) -> None: ...


class PruningScheduler(FIFOScheduler):
    """Stops the trials that the pruner of a searcher rejects.

    Tune passes a result to its scheduler before its searcher, and the last result of a stopped trial never reaches the
    searcher; therefore the scheduler forwards all results to the searcher.
    """

    def __init__(self, searcher: PruningJudge) -> None:
        super().__init__()
        self.searcher = searcher

    def __getstate__(self) -> dict[str, Any]:
        """See `TrialSearcher.__getstate__`."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = self.STOP if self.searcher.should_stop(trial.trial_id, result) else self.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self.searcher.note_failure(trial.trial_id, failure_of_trial(trial))
        super().on_trial_error(tune_controller, trial)
