"""Search: Optuna chooses the trials, on validation alone, and no trial twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self, cast

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from vip5core.errors import Failure, UserError
from vip5core.fingerprint import canonical_json
from vip5core.home import Home
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec
from vip5core.vocabulary import Sampler
from vip5platform.cluster.trainable import TRIAL, parameters_of
from vip5platform.cluster.tune import NO_RESULT, wait_for_result
from vip5platform.declarations import Search
from vip5platform.search.pruning import PruningScheduler, pruner
from vip5platform.search.samplers import Proposer
from vip5platform.search.space import Space
from vip5platform.search.storage import create_or_load, open_search
from vip5platform.search.trial_store import CACHED, FINGERPRINT, STOPPED_EARLY, TrialStore, is_finite, stored_failure


class TrialSearcher(Searcher):
    """Proposes trials to Tune until there are enough.

    It looks at the declared objectives alone, which cannot be on the test, and so does all that is stored. Trials that
    an earlier run left in the middle come first. A proposal that stands for a trial which the search knows already, or
    for an impossible one, is stored as failed, and another is asked for. A new one whose trial is finished under
    `home`, whoever wanted it, counts, but is not run.

    What is proposed follows from the stored trials and the seed alone, so that a search that was cut off goes on as one
    that was not (with several trials at once it also matters which of them end first).

    Args:
        search: the declaration.
        configure: the trial of some settings; may raise `UserError` for an impossible combination.
        home: trials lie in `home/trials/`, the search itself in `home/searches/`.
        key: of the stored search; see `search_key`.
        trials: budget: how many distinct trials the search has in the end, those of earlier runs, pruned and failed
            ones included.
        seed: of the sampler.
        prune: end hopeless trials early. Without effect on several objectives, for Optuna prunes by one.
        sampler: Optuna's TPE; or, to compare with, uniform random, or all combinations in their order.
        storage: another place for the search than `home/searches/`.

    Attributes:
        study: Optuna's, as it is stored.
        cached: the trials that counted without being run.
        exhausted: there is nothing new to propose, though the budget is not spent.

    Raises:
        UserError: for a space or objectives that cannot be, or a stored search that cannot be continued.
    """

    def __init__(
        self,
        search: Search,
        configure: Callable[[dict[str, Any]], TrialSpec],
        home: Home,
        key: str,
        *,
        trials: int,
        seed: int = 0,
        prune: bool = True,
        sampler: Sampler = "tpe",
        storage: optuna.storages.BaseStorage | None = None,
    ) -> None:
        super().__init__()
        if trials < 1:
            raise UserError(f"trials={trials}: a search needs at least one")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.configure, self.home, self.trials = configure, home, trials
        self.prune = prune and len(search.objectives) == 1
        self.cached: list[TrialSpec] = []
        self.exhausted = False
        self.space = Space(search.space)
        self._open = ExitStack()
        if storage is None:
            self.study = self._open.enter_context(open_search(search, home, key))
        else:
            self.study = create_or_load(search, storage, key)
        self.study.sampler = optuna.samplers.RandomSampler(seed)  # it is not asked: see `Proposer`
        self.study.pruner = pruner()
        self._store = TrialStore(self.study, search.objectives)
        self._proposer = Proposer(self.space, self._spec, self._store, sampler, seed)
        self._cut_off = [trial for trial in self._store.trials() if trial.state == TrialState.RUNNING]
        self._again = self._store.retryable()
        self._specs: dict[str, TrialSpec] = {}  # by parameters, as JSON
        self._running: dict[str, tuple[FrozenTrial, TrialSpec]] = {}  # by Tune's id
        self._failures: dict[str, Failure] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process run the search."""
        self._open.close()

    @property
    def scheduler(self) -> PruningScheduler:
        """The scheduler that goes with this searcher; without it, nothing is pruned and no epoch is kept."""
        return PruningScheduler(self)

    @property
    def missing(self) -> int:
        """How many trials are still to be proposed or to go on; 0 for a search that has been finished before."""
        return len(self._cut_off) + max(0, self.trials - len(self._store.known))

    def specs(self) -> list[TrialSpec]:
        """The distinct trials of the search, those of earlier runs included, in the order of their proposals."""
        found = [self._spec(trial.params) for trial in self._store.trials() if FINGERPRINT in trial.user_attrs]
        return list({spec.fingerprint: spec for spec in found}.values())  # one that failed may have been tried again

    def failures(self) -> dict[str, Failure]:
        """Why trials left no result, by fingerprint: failed, or stopped early."""
        found: dict[str, Failure] = {}
        for trial in self._store.trials():
            if FINGERPRINT in trial.user_attrs:
                failure = STOPPED_EARLY if trial.state == TrialState.PRUNED else stored_failure(trial)
                if failure is None:  # it finished, perhaps at another try
                    found.pop(trial.user_attrs[FINGERPRINT], None)
                else:
                    found[trial.user_attrs[FINGERPRINT]] = failure
        return found

    def _spec(self, parameters: dict[str, Any]) -> TrialSpec:
        """Raises: UserError for an impossible combination."""
        key = canonical_json(parameters)
        if key not in self._specs:
            self._specs[key] = self.configure(self.space.settings(parameters))
        return self._specs[key]

    def __getstate__(self) -> dict[str, Any]:
        """Tune copies its searcher into files, which nobody reads: all there is to keep is in the storage."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see `__getstate__`."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial to run, for Tune's trial of this id, or Tune's `FINISHED`."""
        while (proposal := self._next()) is not None:
            trial, spec = proposal
            if not spec.finished(self.home):
                self._running[trial_id] = proposal
                return {TRIAL: parameters_of(spec)}
            self.cached.append(spec)
            if trial.last_step is None:  # otherwise it ran here, and was cut off between its end and our knowing
                self._store.set(trial, CACHED, True)
            self._store.tell_result(trial, TrialResult.load(spec.folder(self.home)))
        finished: Any = Searcher.FINISHED  # a string, whatever the base class says
        return cast(dict[str, Any], finished)

    def _next(self) -> tuple[FrozenTrial, TrialSpec] | None:
        """The next trial, which stands in the storage as running, or None if there are enough."""
        while self._cut_off:
            trial = self._cut_off.pop(0)
            try:
                spec = self._spec(trial.params)
            except UserError as error:  # it was possible when it was proposed
                self._store.tell_failure(trial, Failure.of(error))
                continue
            if trial.user_attrs[FINGERPRINT] != spec.fingerprint:
                self._store.rename(trial, spec.fingerprint)
            return trial, spec
        if self._again:
            return self._proposer.again(self._again.pop(0))
        if len(self._store.known) >= self.trials:
            return None
        new = self._proposer.new_trial()
        self.exhausted = new is None
        return new

    def ends_early(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Note an epoch's value of the objective; is the trial to be ended, and told as pruned, after it?

        A trial that goes on after its checkpoint reports its earlier epochs again: they are noted and judged once.
        """
        value, epoch = result.get(self._store.objectives[0]), result.get("epoch")
        if trial_id not in self._running or not is_finite(value) or not is_finite(epoch):
            return False
        if len(self._store.objectives) > 1:  # Optuna keeps the values of epochs for one objective only
            return False
        trial, spec = self._running[trial_id]
        if not self._store.note_epoch(trial, int(epoch), value) or not self.prune or epoch >= spec.config.epochs:
            return False
        if not self._store.writable(trial).should_prune():
            return False
        self._store.tell_pruned(trial)
        del self._running[trial_id]
        spec.checkpoint(self.home).unlink(missing_ok=True)
        return True

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Nothing: the scheduler has asked `ends_early` already."""

    def note_failure(self, trial_id: str, failure: Failure) -> None:
        """Why a trial failed, before Tune says that it did."""
        self._failures[trial_id] = failure

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Tell how a trial ended by its folder; what Tune knows of its metrics is not looked at."""
        if trial_id not in self._running:  # it was pruned
            return
        trial, spec = self._running.pop(trial_id)
        failure = self._failures.pop(trial_id, Failure.of(None)) if error else NO_RESULT
        if spec.finished(self.home) or (not error and wait_for_result(spec, self.home)):
            self._store.tell_result(trial, TrialResult.load(spec.folder(self.home)))
        else:
            self._store.tell_failure(trial, failure)
