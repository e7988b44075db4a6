"""The random parts of a mean over seeds and units, drawn: what `vip5platform.statistics` compares by.

Shapes: S seeds, U units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

ALPHA = 0.05

#: More units than these are put into as many blocks at random, which are flipped and drawn whole.
_BLOCKS = 1_000
#: Numbers that scipy holds at a time: 16 MB.
_AT_A_TIME = 2_000_000


@dataclass(frozen=True)
class SeedNoise:
    """What other trainings would have changed.

    Attributes:
        draws: of the change of the mean. Shape: [draws].
        lasting: the share of the units' variance that such draws do not hold already; 1 with one seed.
    """

    draws: np.ndarray
    lasting: float


def seed_noise(levels: Sequence[np.ndarray], of_units: np.ndarray, draws: int, rng: np.random.Generator) -> SeedNoise:
    """From the mean squares of a two-way layout, seeds × units, pooled over levels; `of_units`: see `compare`.

    The variance of a level's mean over units, from seed to seed, has all that a training changes: what moves every user
    and what moves each by himself. So it is taken whole, and the latter is taken out of the units' part. The other way
    round, seeds lose what units have, and what is left is often below zero, where it would have to count as zero.
    """
    freedom = sum(len(level) - 1 for level in levels)
    if not freedom:
        return SeedNoise(np.zeros(draws), 1.0)
    between = within = 0.0
    for level in levels:
        of_seeds = level.mean(axis=1, keepdims=True) - level.mean()
        between += float((of_seeds**2).sum()) / freedom
        within += float(((level - level.mean(axis=0) - of_seeds) ** 2).sum()) / (freedom * (len(of_units) - 1))
    trainings = sum(1 / len(level) for level in levels)
    spread = float(of_units.var(ddof=1))
    lasting = max(0.0, 1 - within * trainings / spread) if spread else 1.0
    return SeedNoise(math.sqrt(between * trainings) * rng.standard_t(freedom, draws), lasting)


def p_value_of(change: np.ndarray, noise: SeedNoise, rng: np.random.Generator) -> float:
    """Two-sided, of a mean of `change` as far from 0. Shape of `change`: [U]."""
    mean, draws = abs(float(change.mean())), len(noise.draws)
    changed = _blocks(change[change != 0], rng)  # a zero stays one under any sign
    if len(changed) < 2:
        changed = np.append(changed, 0.0)  # scipy asks for two
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
    """95 % of what the mean of `values` would be with other units and seeds. Shape of `values`: [U]."""
    mean, draws = float(values.mean()), len(noise.draws)
    blocks = _blocks(values - mean, rng)
    drawn = stats.bootstrap(
        (blocks,), _sum, vectorized=True, n_resamples=draws, batch=_batch(blocks), method="percentile", rng=rng
    ).bootstrap_distribution / len(values)
    low, high = np.quantile(drawn * math.sqrt(noise.lasting) + noise.draws, [ALPHA / 2, 1 - ALPHA / 2])
    return mean + min(0.0, float(low)), mean + max(0.0, float(high))


def _blocks(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sums of equally many values, chosen at random, where there are too many to draw one by one."""
    if len(values) <= _BLOCKS:
        return values
    padded = np.zeros(-(-len(values) // _BLOCKS) * _BLOCKS)
    padded[: len(values)] = rng.permutation(values)
    return padded.reshape(-1, _BLOCKS).sum(axis=0)


def _batch(values: np.ndarray) -> int:
    return max(1, _AT_A_TIME // len(values))


def _sum(values: np.ndarray, axis: int) -> np.ndarray:
    return values.sum(axis=axis)
