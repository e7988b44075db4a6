"""Resampling of means over seeds and units: the null distributions and intervals of `significance`.

Shapes: S seeds, U units.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.05

#: More units than this are assigned at random to so many blocks, which are flipped and drawn as a whole.
_BLOCKS = 1_000
#: Independent streams of one seed's random numbers.
_RUNS, _SIGNS, _UNITS, _PLACES = range(4)


@dataclass(frozen=True)
class SeedNoise:
    """Run-to-run variance of a mean.

    Attributes:
        draws: Draws of the change of the mean between runs. Shape: [draws].
        lasting: The share of the units' variance that is not run-to-run variance already in `draws`; 1 with one seed.
    """

    draws: np.ndarray
    lasting: float


def seed_noise(levels: Sequence[np.ndarray], of_units: np.ndarray, draws: int, seed: int) -> SeedNoise:
    """Estimate run-to-run variance from the mean squares of a two-way layout, seeds × units, pooled over levels.

    The variance of a level's mean from seed to seed contains everything that another run changes: a shift of all units
    and independent changes of single units. It is used in full, and the second part is removed from the variance over
    units. Removing it from the variance over seeds instead would often leave a negative estimate, truncated at zero.

    Args:
        levels: One matrix per level. Shape: [S, U].
        of_units: The value (or difference) of each unit, averaged over seeds; see `compare`. Shape: [U].
        draws: The number of draws.
        seed: The seed of the draws.
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
    rng = np.random.default_rng([seed, _RUNS])
    lasting = max(0.0, 1 - within * runs / spread) if spread else 1.0
    return SeedNoise(math.sqrt(between * runs) * rng.standard_t(freedom, draws), lasting)


def p_value_of(change: np.ndarray, noise: SeedNoise, seed: int) -> float:
    """The two-sided p-value of the mean of `change` if there is no difference. Shape of `change`: [U].

    The sign of every change is flipped at random, or in all ways where these are no more than the draws.
    """
    mean, draws = abs(float(change.mean())), len(noise.draws)
    changed = change[change != 0]  # the sign of the others does not matter
    exact = 2 ** len(changed) <= draws
    if exact:
        null = _every_sign(len(changed)) @ changed / len(change)
    else:
        null = _sums(_signs(seed, draws, min(len(change), _BLOCKS)), _blocks(change, seed)) / len(change)
    if noise.draws.any() or not exact:
        if len(null) != draws:
            null = np.random.default_rng([seed, _SIGNS]).choice(null, draws)
        null, exact = null * math.sqrt(noise.lasting) + noise.draws, False
    extreme = int((np.abs(null) >= mean * (1 - 1e-9)).sum())  # sums in another order differ in the last digits
    return extreme / len(null) if exact else (extreme + 1) / (len(null) + 1)


def interval_of(values: np.ndarray, noise: SeedNoise, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean of `values` over units and seeds. Shape of `values`: [U]."""
    mean, draws = float(values.mean()), len(noise.draws)
    blocks = _blocks(values - mean, seed)
    drawn = _sums(_counts(seed, draws, len(blocks)), blocks) / len(values)
    low, high = np.quantile(drawn * math.sqrt(noise.lasting) + noise.draws, [ALPHA / 2, 1 - ALPHA / 2])
    return mean + min(0.0, float(low)), mean + max(0.0, float(high))


def _blocks(values: np.ndarray, seed: int) -> np.ndarray:
    """Sums over random blocks of equal size if there are too many values to draw one by one."""
    if len(values) <= _BLOCKS:
        return values
    padded = np.zeros(-(-len(values) // _BLOCKS) * _BLOCKS)
    padded[: len(values)] = np.random.default_rng([seed, _PLACES]).permutation(values)
    return padded.reshape(-1, _BLOCKS).sum(axis=0)


def _every_sign(units: int) -> np.ndarray:
    """All vectors of signs. Shape: [2^units, units]."""
    return np.array(list(itertools.product((1.0, -1.0), repeat=units))).reshape(2**units, units)


# The comparisons of a study are about the same users, texts or items, so that they share these draws.


@functools.lru_cache(maxsize=4)
def _signs(seed: int, draws: int, units: int) -> np.ndarray:
    """Random signs. Shape: [draws, units]."""
    return np.random.default_rng([seed, _SIGNS]).choice(np.array([-1, 1], np.int8), (draws, units))


@functools.lru_cache(maxsize=4)
def _counts(seed: int, draws: int, units: int) -> np.ndarray:
    """How often each unit is in a bootstrap sample. Shape: [draws, units]."""
    drawn = np.random.default_rng([seed, _UNITS]).integers(units, size=(draws, units))
    drawn += units * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * units).reshape(draws, units).astype(np.int16)


def _sums(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`weights @ values` in double precision, some rows at a time. Shape: [draws]."""
    return np.concatenate([rows.astype(float) @ values for rows in np.array_split(weights, 16)])
