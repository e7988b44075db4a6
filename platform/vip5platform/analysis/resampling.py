"""Resampling of means over seeds and units: the null distributions and intervals of `significance`.

Shapes: S seeds, U units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ALPHA = 0.05

#: More units than this are assigned at random to so many blocks, which are flipped and drawn as a whole.
_BLOCKS = 1_000
#: How many numbers scipy holds in memory at a time: 16 MB.
_AT_A_TIME = 2_000_000


@dataclass(frozen=True)
class SeedNoise:
    """Run-to-run variance of a mean.

    Attributes:
        draws: Draws of the change of the mean between runs. Shape: [draws].
        lasting: The share of the units' variance that is not run-to-run variance already in `draws`; 1 with one seed.
    """

    draws: np.ndarray
    lasting: float


def seed_noise(levels: Sequence[np.ndarray], of_units: np.ndarray, draws: int, rng: np.random.Generator) -> SeedNoise:
    """Estimate run-to-run variance from the mean squares of a two-way layout, seeds × units, pooled over levels.

    The variance of a level's mean from seed to seed contains everything that another run changes: a shift of all units
    and independent changes of single units. It is used in full, and the second part is removed from the variance over
    units. Removing it from the variance over seeds instead would often leave a negative estimate, truncated at zero.

    Args:
        levels: One matrix per level. Shape: [S, U].
        of_units: The value (or difference) of each unit, averaged over seeds; see `compare`. Shape: [U].
        draws: The number of draws.
        rng: The source of randomness.
    """
    freedom = sum(len(level) - 1 for level in levels)
    if not freedom:
        return SeedNoise(np.zeros(draws), 1.0)
    between = within = 0.0
    for level in levels:
        of_seeds = level.mean(axis=1, keepdims=True) - level.mean()
        between += float((of_seeds**2).sum()) / freedom
        within += float(((level - level.mean(axis=0) - of_seeds) ** 2).sum()) / (freedom * (len(of_units) - 1))
    runs = sum(1 / len(level) for level in levels)
    spread = float(of_units.var(ddof=1))
    lasting = max(0.0, 1 - within * runs / spread) if spread else 1.0
    return SeedNoise(math.sqrt(between * runs) * rng.standard_t(freedom, draws), lasting)


def p_value_of(change: np.ndarray, noise: SeedNoise, rng: np.random.Generator) -> float:
    """The two-sided p-value of the mean of `change` if there is no difference. Shape of `change`: [U]."""
    mean, draws = abs(float(change.mean())), len(noise.draws)
    changed = _blocks(change[change != 0], rng)  # zeros do not depend on the sign
    if len(changed) < 2:
        changed = np.append(changed, 0.0)  # scipy needs at least two
    null = stats.permutation_test(
        (changed,),
        _sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        batch=_batch(changed),
        rng=rng,
    ).null_distribution.ravel() / len(change)
    exact = len(null) == 2 ** len(changed) and not noise.draws.any()
    if not exact:
        null = (null if len(null) == draws else rng.choice(null, draws)) * math.sqrt(noise.lasting) + noise.draws
    extreme = int((np.abs(null) >= mean * (1 - 1e-9)).sum())  # sums in another order differ in the last digits
    return extreme / len(null) if exact else (extreme + 1) / (len(null) + 1)


def interval_of(values: np.ndarray, noise: SeedNoise, rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % interval of the mean of `values` over units and seeds. Shape of `values`: [U]."""
    mean, draws = float(values.mean()), len(noise.draws)
    blocks = _blocks(values - mean, rng)
    drawn = stats.bootstrap(
        (blocks,), _sum, vectorized=True, n_resamples=draws, batch=_batch(blocks), method="percentile", rng=rng
    ).bootstrap_distribution / len(values)
    low, high = np.quantile(drawn * math.sqrt(noise.lasting) + noise.draws, [ALPHA / 2, 1 - ALPHA / 2])
    return mean + min(0.0, float(low)), mean + max(0.0, float(high))


def _blocks(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sums over random blocks of equal size if there are too many values to draw one by one."""
    if len(values) <= _BLOCKS:
        return values
    padded = np.zeros(-(-len(values) // _BLOCKS) * _BLOCKS)
    padded[: len(values)] = rng.permutation(values)
    return padded.reshape(-1, _BLOCKS).sum(axis=0)


def _batch(values: np.ndarray) -> int:
    return max(1, _AT_A_TIME // len(values))


def _sum(values: np.ndarray, axis: int) -> np.ndarray:
    return values.sum(axis=axis)
