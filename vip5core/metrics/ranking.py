"""Ranking metrics for one target per user, from the target's rank.

HR@k   = share of users whose target is among the first k
NDCG@k = mean of 1 / log2(rank + 1) where rank ≤ k, else 0   (one relevant item, so the ideal DCG is 1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# numpy is imported where ranks are scored: a command line names metrics before it computes anything.

#: Rank of a target that the ranking does not contain.
UNRANKED = 0


def hits(ranks: np.ndarray, k: int) -> np.ndarray:
    """1 for each user whose target is among the first k, else 0: their mean is HR@k. Shape: [users].

    >>> import numpy as np
    >>> hits(np.array([1, 7, UNRANKED]), k=5)
    array([1., 0., 0.])
    """
    return ((ranks != UNRANKED) & (ranks <= k)).astype(float)


def gains(ranks: np.ndarray, k: int) -> np.ndarray:
    """Each user's discounted gain within the first k: their mean is NDCG@k. Shape: [users].

    >>> import numpy as np
    >>> gains(np.array([1, 3, UNRANKED]), k=5)
    array([1. , 0.5, 0. ])
    """
    import numpy as np

    return hits(ranks, k) / np.log2(np.maximum(ranks, 1) + 1.0)


def share_of_beams(rows: pd.DataFrame, column: str) -> float:
    """The share of all beams that `column` counts; the column `beams` has the number of beams of each user."""
    return float(rows[column].mean()) / int(rows["beams"].iloc[0])


def rank_of(target: int, ranked: Sequence[int] | np.ndarray) -> int:
    """The rank of `target` in a list, from 1; `UNRANKED` if it is not in the list."""
    import numpy as np

    places = np.flatnonzero(np.asarray(ranked) == target)
    return int(places[0]) + 1 if len(places) else UNRANKED


def rank_by_score(
    target: int, scores: Mapping[int, float] | np.ndarray, allowed: np.ndarray, rng: np.random.Generator
) -> int:
    """The rank of `target` among the `allowed` items by descending score, ties broken at random.

    A fixed order of ties would favour low item numbers.
    """
    import numpy as np

    values = np.array([scores[item] for item in allowed]) if isinstance(scores, Mapping) else scores[allowed]
    mine = scores[target]
    ties = int((values == mine).sum()) - 1
    return 1 + int((values > mine).sum()) + int(rng.integers(ties + 1))


def first_by_score(
    scores: np.ndarray, allowed: np.ndarray, k: int, target: int, rank: int, rng: np.random.Generator
) -> np.ndarray:
    """The first k of the `allowed` items by descending score, the target at its rank, other ties broken at random.

    Args:
        scores: The score of each item. Shape: [items + 1].
        allowed: The items that may be recommended.
        k: The length of the list; a smaller catalogue gives a shorter one.
        target: The item whose rank is known.
        rank: The rank of the target, as `rank_by_score` gives it; `UNRANKED` if it is not among the allowed items.
        rng: The source of randomness.

    Returns:
        Shape: [k] or shorter.
    """
    import numpy as np

    others = allowed[allowed != target]
    values = scores[others]
    if len(others) > k:  # sorting the whole catalogue for each user would take long
        top = values >= np.partition(values, -k)[-k]
        others, values = others[top], values[top]
    others = others[np.lexsort((rng.random(len(others)), -values))]
    return (others if rank == UNRANKED else np.insert(others, min(rank - 1, len(others)), target))[:k]
