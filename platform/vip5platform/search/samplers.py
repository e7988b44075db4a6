"""Proposes the next point of the search space."""

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

#: After so many proposals in a row without a new trial, points are drawn at random; after so many more without one, the
#: space is considered exhausted.
_REPEATS_BEFORE_RANDOM, _REPEATS_BEFORE_STOP = 30, 200


#: Optuna's class of each sampler; `grid` goes through the combinations in order instead.
_SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
}


class Proposer:
    """Proposes points of a space, determined by the stored trials and the seed only.

    Args:
        space: The search space.
        spec_of: Gives the trial of a point; may raise `UserError` for an impossible combination.
        store: The stored trials.
        sampler: `tpe` (Optuna's), `random` (uniform), or `grid` (all combinations in their order).
        seed: The seed of the sampler.

    Raises:
        UserError: For an unknown sampler, or a grid over an infinite space.
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
            raise UserError("--sampler grid: the space has too many combinations; give choices instead of ranges")
        self.space, self.spec_of, self.store = space, spec_of, store
        self.sampler, self.seed = sampler, seed

    def propose_trial(self) -> tuple[FrozenTrial, TrialSpec] | None:
        """Propose a new trial and store it as running; None if the space is (or seems to be) exhausted."""
        while (parameters := self.propose()) is not None:
            same = self.store.asked.get(canonical_json(parameters))
            if same is None:
                try:
                    spec = self.spec_of(parameters)
                except UserError as error:
                    self._enter(parameters, {IMPOSSIBLE: True, FAILURE: Failure.of(error).model_dump()})
                    continue
                same = self.store.known.get(spec.fingerprint)  # other parameters may give the same trial
                if same is None:
                    return self._enter(parameters, {FINGERPRINT: spec.fingerprint}), spec
            self._enter(parameters, {REPEAT_OF: same})
        return None

    def retry(self, failed: FrozenTrial) -> tuple[FrozenTrial, TrialSpec]:
        """Store a new trial with the parameters of a failed one."""
        spec = self.spec_of(failed.params)
        return self._enter(failed.params, {FINGERPRINT: spec.fingerprint}), spec

    def _enter(self, parameters: dict[str, Any], attributes: dict[str, Any]) -> FrozenTrial:
        return self.store.add(parameters, self.space.distributions, attributes)

    def propose(self) -> dict[str, Any] | None:
        """The next point; None if the space is (or seems to be) exhausted."""
        size, asked = self.space.size, self.store.asked
        if size is not None and len(asked) >= size:
            return None
        chance = self.store.unproductive >= _REPEATS_BEFORE_RANDOM
        if size is not None and (chance or self.sampler == "grid"):
            left = [each for each in self.space.combinations() if canonical_json(each) not in asked]
            return left[0 if self.sampler == "grid" else int(self._rng().integers(len(left)))]
        if self.store.unproductive >= _REPEATS_BEFORE_RANDOM + _REPEATS_BEFORE_STOP:
            return None
        return self._sample("random" if chance else self.sampler)

    def _sample(self, name: str) -> dict[str, Any]:
        """Ask a sampler on a copy of the study, so that the stored study only gets complete trials.

        Failed trials, which include many repeats, are left out, as samplers ignore them.
        """
        sampler = _SAMPLERS[name](seed=int(self._rng().integers(2**31)))
        copy = optuna.create_study(directions=self.store.study.directions, sampler=sampler)
        if name != "random":  # which looks at no trial
            copy.add_trials([trial for trial in self.store.trials() if trial.state != TrialState.FAIL])
        return copy.ask(self.space.distributions).params

    def _rng(self) -> np.random.Generator:
        """A generator for this proposal."""
        return np.random.default_rng([self.seed, len(self.store.trials())])
