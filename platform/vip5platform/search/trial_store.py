"""What a search knows of its trials, and how Optuna is told of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from vip5core.errors import Failure
from vip5core.fingerprint import canonical_json
from vip5core.trial.result import TrialResult

#: User attributes of a stored trial. A trial with one of the last two was proposed, but is no trial of its own.
FINGERPRINT, SECONDS, FAILURE, CACHED = "fingerprint", "seconds", "failure", "cached"
REPEAT_OF, IMPOSSIBLE = "repeat_of", "impossible"


#: A trial that the pruner gave up.
STOPPED_EARLY = Failure(kind="stopped_early", message="stopped early")


def stored_failure(trial: FrozenTrial) -> Failure | None:
    """Why a stored trial failed; None if it did not, or was no trial of its own."""
    content = trial.user_attrs.get(FAILURE)
    return Failure(**content) if content else None


class TrialStore:
    """The stored trials of a search, with what must be found again quickly.

    Args:
        study: Optuna's, as it is stored.
        objectives: the only metrics that ever come into it.

    Attributes:
        asked: parameters, as JSON, to the number of the first trial that had them.
        known: fingerprint to the number of its trial.
        unproductive: how many proposals in a row, up to now, were no new trial.
    """

    def __init__(self, study: optuna.Study, objectives: Sequence[str]) -> None:
        self.study = study
        self.objectives = tuple(objectives)
        self.asked: dict[str, int] = {}
        self.known: dict[str, int] = {}
        self.unproductive = 0
        for trial in self.trials():
            self._remember(trial)

    def trials(self) -> list[FrozenTrial]:
        """All of them, by number; not to be changed."""
        return self.study.get_trials(deepcopy=False)

    def add(
        self, parameters: dict[str, Any], distributions: dict[str, BaseDistribution], attributes: dict[str, Any]
    ) -> FrozenTrial:
        """Store a proposal in one line of the journal: running if it has a fingerprint, failed if it is no new trial.

        Samplers ignore what failed.
        """
        state = TrialState.RUNNING if FINGERPRINT in attributes else TrialState.FAIL
        self.study.add_trial(
            optuna.trial.create_trial(
                state=state, params=parameters, distributions=distributions, user_attrs=attributes
            )
        )
        trial = self.trials()[-1]
        self._remember(trial)
        return trial

    def _remember(self, trial: FrozenTrial) -> None:
        self.asked.setdefault(canonical_json(trial.params), trial.number)
        if FINGERPRINT in trial.user_attrs:
            self.known[trial.user_attrs[FINGERPRINT]] = trial.number
            self.unproductive = 0
        else:
            self.unproductive += 1

    def rename(self, trial: FrozenTrial, fingerprint: str) -> None:
        """A trial that was cut off is now another one: the code has changed."""
        del self.known[trial.user_attrs[FINGERPRINT]]
        self.known[fingerprint] = trial.number
        self.set(trial, FINGERPRINT, fingerprint)

    def retryable(self) -> list[FrozenTrial]:
        """Trials whose failure is worth another try and that were not tried again since; they are forgotten."""
        latest = {trial.user_attrs[FINGERPRINT]: trial for trial in self.trials() if FINGERPRINT in trial.user_attrs}
        found = []
        for trial in latest.values():
            failure = stored_failure(trial)
            if trial.state == TrialState.FAIL and (failure is None or failure.retryable):
                self.known.pop(trial.user_attrs[FINGERPRINT], None)
                self.asked.pop(canonical_json(trial.params), None)
                found.append(trial)
        return found

    def set(self, trial: FrozenTrial, name: str, value: Any) -> None:
        """Set a user attribute of a running trial."""
        self.writable(trial).set_user_attr(name, value)

    def writable(self, trial: FrozenTrial) -> optuna.Trial:
        return optuna.Trial(self.study, trial._trial_id)

    def note_epoch(self, trial: FrozenTrial, epoch: int, value: float) -> bool:
        """Note an epoch's value of the objective, unless it is known; False for an epoch before the last known one."""
        last = self.trials()[trial.number].last_step
        if last is None or epoch > last:
            self.writable(trial).report(value, epoch)
        return last is None or epoch >= last

    def tell_pruned(self, trial: FrozenTrial) -> None:
        self.study.tell(trial.number, state=TrialState.PRUNED)

    def tell_result(self, trial: FrozenTrial, result: TrialResult) -> None:
        """A trial has finished; without a value for each objective it has failed."""
        values = [result.metrics.get(name, math.nan) for name in self.objectives]  # no other metric leaves this line
        for name, value in zip(self.objectives, values, strict=True):
            if not is_finite(value):
                self.tell_failure(trial, Failure(kind="diverged", message=f"{name} is {value}"))
                return
        if len(self.objectives) == 1:  # epochs that nobody told of: of a trial that was not run for this search
            for epoch in result.history:
                told = epoch.get(self.objectives[0])
                if is_finite(told):
                    self.note_epoch(trial, int(epoch["epoch"]), told)
        self.set(trial, SECONDS, result.metrics.get("cost/seconds"))
        self.study.tell(trial.number, values)

    def tell_failure(self, trial: FrozenTrial, failure: Failure) -> None:
        self.set(trial, FAILURE, failure.model_dump())
        self.study.tell(trial.number, state=TrialState.FAIL)


def is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
