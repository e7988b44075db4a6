"""The stored trials of a search, and how their outcomes are written to Optuna."""

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

#: User attributes of a stored trial. One with either of the last two was proposed but is not a trial of its own.
FINGERPRINT, SECONDS, FAILURE, CACHED = "fingerprint", "seconds", "failure", "cached"
REPEAT_OF, IMPOSSIBLE = "repeat_of", "impossible"


#: The failure of a trial that the pruner stopped.
STOPPED_EARLY = Failure(kind="stopped_early", message="stopped early")


def stored_failure(trial: FrozenTrial) -> Failure | None:
    """Why a stored trial failed; None if it did not fail or is a repeat."""
    content = trial.user_attrs.get(FAILURE)
    return Failure(**content) if content else None


class TrialStore:
    """The stored trials of a search, indexed by parameters and fingerprint.

    Args:
        study: The stored study of Optuna.
        objectives: The only metrics that are ever stored.

    Attributes:
        asked: The number of the first trial with these parameters, by the parameters as JSON.
        known: The number of the trial, by fingerprint.
        unproductive: The current number of proposals in a row without a new trial.
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
        """All stored trials by number; read-only."""
        return self.study.get_trials(deepcopy=False)

    def add(
        self, parameters: dict[str, Any], distributions: dict[str, BaseDistribution], attributes: dict[str, Any]
    ) -> FrozenTrial:
        """Store a proposal in one line of the journal: as running if it has a fingerprint, else as failed.

        Samplers ignore failed trials.
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
        """Give an interrupted trial its new fingerprint after a change of the code."""
        del self.known[trial.user_attrs[FINGERPRINT]]
        self.known[fingerprint] = trial.number
        self.set(trial, FINGERPRINT, fingerprint)

    def take_retryable(self) -> list[FrozenTrial]:
        """Remove from the index, and return, the failed trials that are worth a retry and were not retried yet."""
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
        """A handle to write to a running trial."""
        return optuna.Trial(self.study, trial._trial_id)

    def note_epoch(self, trial: FrozenTrial, epoch: int, value: float) -> bool:
        """Store the objective's value of an epoch unless known; False for an epoch before the last stored one."""
        last = self.trials()[trial.number].last_step
        if last is None or epoch > last:
            self.writable(trial).report(value, epoch)
        return last is None or epoch >= last

    def tell_pruned(self, trial: FrozenTrial) -> None:
        """Store a trial as pruned."""
        self.study.tell(trial.number, state=TrialState.PRUNED)

    def tell_result(self, trial: FrozenTrial, result: TrialResult) -> None:
        """Store the result of a finished trial; as failed if an objective has no finite value."""
        values = [result.metrics.get(name, math.nan) for name in self.objectives]  # no other metric is read
        for name, value in zip(self.objectives, values, strict=True):
            if not is_finite(value):
                self.tell_failure(trial, Failure(kind="diverged", message=f"{name} is {value}"))
                return
        if len(self.objectives) == 1:  # epochs of a trial that was not run by this search
            for epoch in result.history:
                reported = epoch.get(self.objectives[0])
                if is_finite(reported):
                    self.note_epoch(trial, int(epoch["epoch"]), reported)
        self.set(trial, SECONDS, result.metrics.get("cost/seconds"))
        self.study.tell(trial.number, values)

    def tell_failure(self, trial: FrozenTrial, failure: Failure) -> None:
        """Store a trial as failed."""
        self.set(trial, FAILURE, failure.model_dump())
        self.study.tell(trial.number, state=TrialState.FAIL)


def is_finite(value: object) -> TypeGuard[float]:
    """Is it a finite number?"""
    return isinstance(value, int | float) and math.isfinite(value)
