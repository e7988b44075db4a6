"""Codes of what items look like or say, as ids: items alike share their first codes.

Residual quantisation: k-means of the items' vectors gives each its first code, k-means of what is left of them after
subtracting the centres the second, and so on. A last token tells items apart that share all codes, as in TIGER (Rajput
et al., "Recommender Systems with Generative Retrieval", 2023), which learns the centres together with an auto-encoder.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

#: The number of codes of an item, and the most centres of each, as in TIGER.
LEVELS, CODES = 3, 256
#: The number of items for which there is one first code at least: with fewer, a code would be shared by hardly any.
_ITEMS_PER_CODE = 10
#: Decimals of what is clustered: the last digits of a product depend on the processor.
_DECIMALS = 5


def residual_codes(
    vectors: np.ndarray, seed: int, levels: int = LEVELS, most_codes: int = CODES
) -> tuple[np.ndarray, list[int]]:
    """Quantise vectors level by level.

    Args:
        vectors: the vectors. Shape: [items, width].
        seed: the seed of the clustering.
        levels: the number of codes of an item.
        most_codes: the most centres of each level; there is one at most for every ten items.

    Returns:
        The codes of each item, from 0 (shape: [items, levels]), and the number of centres at each level.
    """
    codes = np.zeros((len(vectors), levels), dtype=np.int64)
    centres = []
    left = np.asarray(vectors, dtype=np.float64).round(_DECIMALS)
    for level in range(levels):
        size = min(most_codes, max(2, len(vectors) // _ITEMS_PER_CODE), len(np.unique(left, axis=0)))
        with threadpool_limits(1):  # splitting sums over threads changes their last digits, and so near-ties
            found = KMeans(size, n_init=1, random_state=seed).fit(left)
        codes[:, level] = found.labels_
        left = (left - found.cluster_centers_[found.labels_]).round(_DECIMALS)
        centres.append(size)
    return codes, centres


def tell_apart(codes: np.ndarray, seed: int) -> np.ndarray:
    """Number the items that share all codes, in seeded order. Shape: codes [items, levels] to [items]."""
    order = np.random.default_rng(seed).permutation(len(codes))
    numbers = np.empty(len(codes), dtype=np.int64)
    numbers[order] = pd.DataFrame(codes[order]).groupby(list(range(codes.shape[1]))).cumcount()
    return numbers


def share_of_collisions(codes: np.ndarray) -> float:
    """The share of items whose codes another item has, too."""
    _, which, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return float((counts[which] > 1).mean())
