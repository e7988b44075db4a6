"""The searcher that connects Optuna's proposals to Ray Tune."""

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
    """Proposes trials to Tune until the budget is spent.

    Only the declared objectives are read and stored, and these cannot be test metrics. Trials that an earlier run left
    unfinished come first. A proposal that repeats a known trial, or is impossible, is stored as failed and replaced by
    another one. A new trial that is already finished in `home`, by any study, counts but is not run.

    Proposals are determined by the stored trials and the seed, so that an interrupted search continues like an
    uninterrupted one (with several trials at a time, the order in which they end matters as well).

    Args:
        search: The declaration.
        configure: Gives the trial of some settings; may raise `UserError` for an impossible combination.
        home: The home with the trials in `trials/` and the stored search in `searches/`.
        key: The key of the stored search; see `study.keys.search_key`.
        trials: The budget: the number of distinct trials, including those of earlier runs, pruned and failed ones.
        seed: The seed of the sampler.
        prune: Whether unpromising trials are stopped early; without effect with several objectives, because Optuna
            prunes by one.
        sampler: `tpe` (Optuna's), `random` (uniform), or `grid` (all combinations in their order).
        storage: Another storage than a file in `home/searches/`.

    Attributes:
        study: The stored study of Optuna.
        cached: The trials that counted without being run.
        exhausted: Whether there is nothing new to propose although the budget is not spent.

    Raises:
        UserError: For an impossible space or objectives, or a stored search that cannot be continued.
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
        self._journal = home.search(key) if storage is None else None
        if storage is None:
            self.study = self._open.enter_context(open_search(search, home, key))
        else:
            self.study = create_or_load(search, storage, key)
        self.study.sampler = optuna.samplers.RandomSampler(seed)  # not used; see `Proposer`
        self.study.pruner = pruner()
        self._store = TrialStore(self.study, search.objectives)
        self._proposer = Proposer(self.space, self._spec, self._store, sampler, seed)
        self._cut_off = [trial for trial in self._store.trials() if trial.state == TrialState.RUNNING]
        self._to_retry = self._store.take_retryable()
        self._specs: dict[str, TrialSpec] = {}  # by parameters, as JSON
        self._running: dict[str, tuple[FrozenTrial, TrialSpec]] = {}  # by Tune's id
        self._failures: dict[str, Failure] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stored search, so that another process can run it."""
        self._open.close()

    @property
    def scheduler(self) -> PruningScheduler:
        """The scheduler that this searcher needs: without it nothing is pruned and no epoch is stored."""
        return PruningScheduler(self)

    @property
    def missing(self) -> int:
        """The number of trials still to be proposed or continued; 0 for a finished search."""
        return len(self._cut_off) + max(0, self.trials - len(self._store.known))

    def specs(self) -> list[TrialSpec]:
        """The distinct trials of the search in the order of their proposals, including those of earlier runs."""
        found = [self._spec(trial.params) for trial in self._store.trials() if FINGERPRINT in trial.user_attrs]
        return list({spec.fingerprint: spec for spec in found}.values())  # a failed one may have been retried

    def failures(self) -> dict[str, Failure]:
        """Why trials have no result, by fingerprint: they failed or were stopped early."""
        found: dict[str, Failure] = {}
        for trial in self._store.trials():
            if FINGERPRINT in trial.user_attrs:
                failure = STOPPED_EARLY if trial.state == TrialState.PRUNED else stored_failure(trial)
                if failure is None:  # it finished, possibly when retried
                    found.pop(trial.user_attrs[FINGERPRINT], None)
                else:
                    found[trial.user_attrs[FINGERPRINT]] = failure
        return found

    def _spec(self, parameters: dict[str, Any]) -> TrialSpec:
        """The trial of Optuna's parameters.

        Raises:
            UserError: For an impossible combination.
        """
        key = canonical_json(parameters)
        if key not in self._specs:
            self._specs[key] = self.configure(self.space.settings(parameters))
        return self._specs[key]

    def __getstate__(self) -> dict[str, Any]:
        """Empty, because Tune pickles its searcher for a restore that is not used: the storage has everything."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see `__getstate__`."""

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial to run under this Tune id, or Tune's `FINISHED`."""
        while (proposal := self._next()) is not None:
            trial, spec = proposal
            if not spec.is_finished(self.home):
                self._running[trial_id] = proposal
                return {TRIAL: parameters_of(spec, self.home)}
            self.cached.append(spec)
            if trial.last_step is None:  # otherwise this search ran it and was interrupted before recording its end
                self._store.set(trial, CACHED, True)
            self._store.tell_result(trial, TrialResult.load(spec.folder(self.home)))
        finished: Any = Searcher.FINISHED  # a string, contrary to the base class's annotation
        return cast(dict[str, Any], finished)

    def _next(self) -> tuple[FrozenTrial, TrialSpec] | None:
        """The next trial, stored as running; None if the budget is spent or the space exhausted."""
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
        if self._to_retry:
            return self._proposer.retry(self._to_retry.pop(0))
        if len(self._store.known) >= self.trials:
            return None
        new = self._proposer.propose_trial()
        self.exhausted = new is None
        return new

    def should_stop(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Store the objective of an epoch; return whether to stop the trial, which is then stored as pruned.

        A trial that resumes from its checkpoint reports its earlier epochs again; they are stored and judged once.
        """
        value, epoch = result.get(self._store.objectives[0]), result.get("epoch")
        if trial_id not in self._running or not is_finite(value) or not is_finite(epoch):
            return False
        if len(self._store.objectives) > 1:  # Optuna stores the values of epochs with one objective only
            return False
        trial, spec = self._running[trial_id]
        if not self._store.note_epoch(trial, int(epoch), value) or not self.prune or epoch >= spec.config.epochs:
            return False
        if not self._store.writable(trial).should_prune():
            return False
        self._store.tell_pruned(trial)
        del self._running[trial_id]
        self.home.discard(spec.checkpoint(self.home))
        return True

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Nothing: the scheduler has already called `should_stop`."""

    def note_failure(self, trial_id: str, failure: Failure) -> None:
        """Remember why a trial failed, before Tune reports that it did."""
        self._failures[trial_id] = failure

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Store how a trial ended, judged by its folder; the metrics that Tune passes are not read."""
        if trial_id not in self._running:  # it was pruned
            return
        trial, spec = self._running.pop(trial_id)
        failure = self._failures.pop(trial_id, Failure.of(None)) if error else NO_RESULT
        if spec.is_finished(self.home) or (not error and wait_for_result(spec, self.home)):
            self._store.tell_result(trial, TrialResult.load(spec.folder(self.home)))
        else:
            self._store.tell_failure(trial, failure)
        if self._journal is not None:
            self.home.publish(self._journal)
