"""Studies whose truth is known, and the tests that could have answered them: how often does each see what is not there?

Values are like NDCG@10: most users get 0. A user's target is found at a rank that depends on the user, on the
effect of the training run as a whole, and on the noise of this user in this run. Shapes: S seeds, U users.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from vip5platform.analysis.significance import compare

from vip5core.metrics import metric

_DRAWS = 999
_METRIC = metric("test/sequential/ndcg_at_10")
#: How far users differ, and how far one user from run to run, on the logarithm of the rank.
_USERS, _USER_NOISE = 1.2, 0.8

#: p-value of two levels [S, U].
Test = Callable[[np.ndarray, np.ndarray, np.random.Generator], float]


@dataclass(frozen=True)
class World:
    """Where studies are drawn from.

    Attributes:
        users: U.
        seeds: S of each level.
        run_effect: variance that a training run as a whole adds to a level's mean, as a multiple of the variance that
            the users' noise adds: 0 is none, 1 as much.
        taste: how far levels differ from user to user without being better (standard deviation).
        hardness: of finding targets: 4.2 leaves 9 % of the users a gain, 3.1 leaves 29 %.
        advantage: of the first level, on the logarithm of the rank; 0: the levels are alike.
        noise: variance of the first level's noise as a multiple of the second's.
    """

    users: int
    seeds: int
    run_effect: float = 0.0
    taste: float = 0.0
    hardness: float = 4.2
    advantage: float = 0.0
    noise: float = 1.0

    def study(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Values of two levels. Shape of each: [S, U]."""
        slope, noise, _ = _facts(self.hardness)
        swing = np.sqrt(self.run_effect * noise / self.users) / slope
        users = _USERS * rng.standard_normal(self.users)
        levels = []
        for advantage, scale in ((self.advantage, np.sqrt(self.noise)), (0.0, 1.0)):
            tastes = self.taste * rng.standard_normal(self.users)
            trainings = scale * swing * rng.standard_normal((self.seeds, 1))
            each = _USER_NOISE * rng.standard_normal((self.seeds, self.users))
            levels.append(_gain(users + tastes + trainings + each + advantage, self.hardness))
        return levels[0], levels[1]

    @property
    def relative_difference(self) -> float:
        """The true difference of the levels as a share of the second one's mean."""
        return _facts(self.hardness, self.advantage)[2] / _facts(self.hardness)[2] - 1


def _gain(ease: np.ndarray, hardness: float) -> np.ndarray:
    ranks = np.ceil(np.exp(np.minimum(hardness - ease, 20))).astype(int)
    return _METRIC.values(pd.DataFrame({"rank": ranks.ravel()})).reshape(ranks.shape)


@functools.cache
def _facts(hardness: float, advantage: float = 0.0) -> tuple[float, float, float]:
    """Slope of the mean gain, variance of a user's gain from training to training, and the mean gain."""
    rng = np.random.default_rng(0)
    users, first, second = rng.standard_normal((3, 400_000))
    ease = _USERS * users + _USER_NOISE * first + advantage
    slope = (_gain(ease + 0.05, hardness).mean() - _gain(ease - 0.05, hardness).mean()) / 0.1
    noise = (_gain(ease, hardness) - _gain(_USERS * users + _USER_NOISE * second + advantage, hardness)).var() / 2
    return float(slope), float(noise), float(_gain(ease, hardness).mean())


def ours(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    return compare(_level(first), _level(second), draws=_DRAWS, seed=int(rng.integers(2**31))).p_value


def users_only(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Seeds are averaged and forgotten: signs of users are flipped."""
    return _flipped(first - second, 0.0, 1, rng)


def _level(values: np.ndarray) -> dict[int, pd.Series]:
    return {seed: pd.Series(row) for seed, row in enumerate(values)}


def mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """Of seeds, of users, and of the rest."""
    seeds, users = values.shape
    of_seeds = values.mean(axis=1, keepdims=True) - values.mean()
    of_users = values.mean(axis=0, keepdims=True) - values.mean()
    rest = values - values.mean() - of_seeds - of_users
    return (
        users * float((of_seeds**2).sum()) / max(1, seeds - 1),
        seeds * float((of_users**2).sum()) / (users - 1),
        float((rest**2).sum()) / max(1, (seeds - 1) * (users - 1)),
    )


def truncated(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Seeds paired; their variance beyond the rest's, or zero, with S - 1 degrees of freedom."""
    if len(first) == 1:
        return users_only(first, second, rng)
    change = first - second
    of_seeds, _, rest = mean_squares(change)
    return _flipped(change, max(0.0, of_seeds - rest), len(first) - 1, rng)


def truncated_unpaired(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """The same with seeds not paired: 2 (S - 1) degrees of freedom."""
    if len(first) == 1:
        return users_only(first, second, rng)
    (seeds_a, _, rest_a), (seeds_b, _, rest_b) = mean_squares(first), mean_squares(second)
    return _flipped(first - second, max(0.0, seeds_a + seeds_b - rest_a - rest_b), 2 * (len(first) - 1), rng)


def _flipped(change: np.ndarray, of_seeds: float, freedom: int, rng: np.random.Generator) -> float:
    seeds, users = change.shape
    null = rng.choice([-1.0, 1.0], (_DRAWS, users)) @ change.mean(axis=0) / users
    null += np.sqrt(of_seeds / (seeds * users)) * rng.standard_t(freedom, _DRAWS)
    return (1 + int((np.abs(null) >= abs(change.mean()) * (1 - 1e-9)).sum())) / (_DRAWS + 1)


def quasi_t(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Clark's quasi-F as a t, seeds not paired, with Satterthwaite's degrees of freedom."""
    if len(first) == 1:
        return users_only(first, second, rng)
    change = first - second
    seeds, users = change.shape
    (seeds_a, _, rest_a), (seeds_b, _, rest_b) = mean_squares(first), mean_squares(second)
    of_users, of_seeds, rest, freedom = mean_squares(change)[1], seeds_a + seeds_b, rest_a + rest_b, 2 * (seeds - 1)
    total = max(of_users, of_users + of_seeds - rest)
    if not total:
        return 1.0
    parts = of_seeds**2 / freedom + of_users**2 / (users - 1) + rest**2 / (freedom * (users - 1))
    return float(2 * stats.t.sf(abs(change.mean()) / np.sqrt(total / (seeds * users)), total**2 / parts))


def pigeonhole(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> float:
    """Users, and the seeds of each level, drawn anew with replacement (Owen 2007)."""
    seeds, users = first.shape
    draws = _DRAWS // 5  # slow
    of_users = rng.multinomial(users, np.full(users, 1 / users), draws) / users
    drawn = np.zeros(draws)
    for sign, level in ((1, first), (-1, second)):
        of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds
        drawn += sign * ((of_users @ level.T) * of_seeds).sum(axis=1)
    return min(1.0, 2 * (1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))) / (draws + 1))


#: What is compared; a further test is a line here.
TESTS: dict[str, Test] = {
    "ours": ours,
    "users only": users_only,
    "truncated, paired": truncated,
    "truncated, unpaired": truncated_unpaired,
    "quasi-t": quasi_t,
    "pigeonhole": pigeonhole,
}


def rejections(world: World, studies: int, tests: dict[str, Test] = TESTS, seed: int = 0) -> dict[str, float]:
    """The share of studies in which each test finds a difference at 5 %."""
    rng = np.random.default_rng(seed)
    found = dict.fromkeys(tests, 0)
    for _ in range(studies):
        levels = world.study(rng)
        for name, test in tests.items():
            found[name] += test(*levels, rng) < 0.05
    return {name: count / studies for name, count in found.items()}
