"""Where in its space a search looks next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from vip5core.errors import Failure, UserError, unknown_name
from vip5core.fingerprint import canonical_json
from vip5core.trial.spec import TrialSpec
from vip5core.vocabulary import SAMPLERS, Sampler
from vip5platform.search.space import Space
from vip5platform.search.trial_store import FAILURE, FINGERPRINT, IMPOSSIBLE, REPEAT_OF, TrialStore

#: Proposals in a row that are no new trial: after so many the sampler has nothing new to say and chance takes over;
#: after so many more there is nothing new in the space, as far as chance can tell.
_REPEATS_BEFORE_RANDOM, _REPEATS_BEFORE_STOP = 30, 200


class Proposer:
    """Proposes points of a space; what it proposes follows from the stored trials and the seed alone.

    Args:
        space: where to look.
        spec_of: the trial that a point stands for; may raise `UserError` for one that stands for none.
        store: the stored trials.
        sampler: Optuna's TPE; uniform random; or all combinations in their order.
        seed: of the sampler.

    Raises:
        UserError: for an unknown sampler, or a grid over a space without end.
    """

    def __init__(
        self,
        space: Space,
        spec_of: Callable[[dict[str, Any]], TrialSpec],
        store: TrialStore,
        sampler: Sampler,
        seed: int,
    ) -> None:
        if sampler not in SAMPLERS:
            raise unknown_name("sampler", sampler, SAMPLERS)
        if sampler == "grid" and space.size is None:
            raise UserError("sampler='grid': the space has too many combinations; give choices instead of ranges")
        self.space, self.spec_of, self.store = space, spec_of, store
        self.sampler, self.seed = sampler, seed

    def new_trial(self) -> tuple[FrozenTrial, TrialSpec] | None:
        """A trial that the search does not know yet, entered as running; None if there is none, or seems to be none."""
        while (parameters := self.propose()) is not None:
            same = self.store.asked.get(canonical_json(parameters))
            if same is None:
                try:
                    spec = self.spec_of(parameters)
                except UserError as error:
                    self._enter(parameters, {IMPOSSIBLE: True, FAILURE: Failure.of(error).model_dump()})
                    continue
                same = self.store.known.get(spec.fingerprint)  # other parameters may make the same trial
                if same is None:
                    return self._enter(parameters, {FINGERPRINT: spec.fingerprint}), spec
            self._enter(parameters, {REPEAT_OF: same})
        return None

    def again(self, failed: FrozenTrial) -> tuple[FrozenTrial, TrialSpec]:
        """A new trial with the parameters of one that failed."""
        spec = self.spec_of(failed.params)
        return self._enter(failed.params, {FINGERPRINT: spec.fingerprint}), spec

    def _enter(self, parameters: dict[str, Any], attributes: dict[str, Any]) -> FrozenTrial:
        return self.store.add(parameters, self.space.distributions, attributes)

    def propose(self) -> dict[str, Any] | None:
        """The next point; None if all of them are known, or seem to be."""
        size, asked = self.space.size, self.store.asked
        if size is not None and len(asked) >= size:
            return None
        chance = self.store.unproductive >= _REPEATS_BEFORE_RANDOM
        if size is not None and (chance or self.sampler == "grid"):
            left = [each for each in self.space.combinations() if canonical_json(each) not in asked]
            return left[0 if self.sampler == "grid" else int(self._rng().integers(len(left)))]
        if self.store.unproductive >= _REPEATS_BEFORE_RANDOM + _REPEATS_BEFORE_STOP:
            return None
        return self._sample(chance or self.sampler == "random")

    def _sample(self, at_random: bool) -> dict[str, Any]:
        """Ask a sampler, on a copy of the trials: what is stored comes with all its parameters or not at all.

        Samplers ignore failed trials, and of repeats there may be many.
        """
        seed = int(self._rng().integers(2**31))
        if at_random:
            copy = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        else:
            sampler = optuna.samplers.TPESampler(seed=seed)
            copy = optuna.create_study(directions=self.store.study.directions, sampler=sampler)
            copy.add_trials([trial for trial in self.store.trials() if trial.state != TrialState.FAIL])
        return copy.ask(self.space.distributions).params

    def _rng(self) -> np.random.Generator:
        """Drawn anew for each proposal."""
        return np.random.default_rng([self.seed, len(self.store.trials())])
