"""Ranking metrics for one target per user, from the target's rank.

HR@k   = share of users whose target is among the first k
NDCG@k = mean of 1 / log2(rank + 1) where rank ≤ k, else 0   (one relevant item, so the ideal DCG is 1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

#: Rank of a target that the ranking does not contain.
UNRANKED = 0

HIT_RATE_CUTOFFS = (1, 5, 10)
NDCG_CUTOFFS = (5, 10)


def hit_rate(ranks: np.ndarray, k: int) -> float:
    """Share of users whose target is among the first k.

    >>> hit_rate(np.array([1, 7, UNRANKED]), k=5)
    0.3333333333333333
    """
    return float(hits(ranks, k).mean())


def ndcg(ranks: np.ndarray, k: int) -> float:
    """Normalised discounted cumulative gain of one relevant item per user.

    >>> ndcg(np.array([1, 3, UNRANKED]), k=5)
    0.5
    """
    return float(gains(ranks, k).mean())


def hits(ranks: np.ndarray, k: int) -> np.ndarray:
    """1 for each user whose target is among the first k, else 0: their mean is HR@k. Shape: [users]."""
    return ((ranks != UNRANKED) & (ranks <= k)).astype(float)


def gains(ranks: np.ndarray, k: int) -> np.ndarray:
    """Each user's discounted gain within the first k: their mean is NDCG@k. Shape: [users]."""
    return hits(ranks, k) / np.log2(np.maximum(ranks, 1) + 1.0)


def ranking_metrics(ranks: np.ndarray) -> dict[str, float]:
    """`hit_rate_at_k` and `ndcg_at_k` at the cut-offs of the paper's tables.

    Args:
        ranks: rank of each user's target, from 1; `UNRANKED` where it is not in the list. Shape: [users].

    Raises:
        ValueError: without users.
    """
    if len(ranks) == 0:
        raise ValueError("no users to average over")
    return {f"hit_rate_at_{k}": hit_rate(ranks, k) for k in HIT_RATE_CUTOFFS} | {
        f"ndcg_at_{k}": ndcg(ranks, k) for k in NDCG_CUTOFFS
    }


def rank_of(target: int, ranked: Sequence[int] | np.ndarray) -> int:
    """The place of `target` in a ranked list, from 1; `UNRANKED` if it is not there."""
    places = np.flatnonzero(np.asarray(ranked) == target)
    return int(places[0]) + 1 if len(places) else UNRANKED


def rank_by_score(
    target: int, scores: Mapping[int, float] | np.ndarray, allowed: np.ndarray, rng: np.random.Generator
) -> int:
    """Rank of `target` among `allowed` items by descending score, ties broken at random.

    A fixed order of ties would favour low item numbers.
    """
    values = np.array([scores[item] for item in allowed]) if isinstance(scores, Mapping) else scores[allowed]
    mine = scores[target]
    ties = int((values == mine).sum()) - 1
    return 1 + int((values > mine).sum()) + int(rng.integers(ties + 1))
