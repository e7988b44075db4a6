"""How baselines rank by scores."""

from __future__ import annotations

import numpy as np

from vip5core.evaluation.rank import RankedList
from vip5core.metrics import UNRANKED, first_by_score, rank_by_score

#: The length of the lists that are kept of a baseline, whatever the number of the models' beams.
LIST_LENGTH = 20


class ScoreRanker:
    """Ranks the items that a user may be offered, ties broken at random.

    Args:
        rng: The source of randomness.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.of_lists = rng.spawn(1)[0]

    def __call__(self, target: int, scores: np.ndarray, allowed: np.ndarray) -> tuple[int, RankedList]:
        """The rank of the target, and the first items.

        Args:
            target: The held-out item.
            scores: The score of each item. Shape: [items + 1].
            allowed: Whether each item may be offered. Shape: [items + 1], bool.
        """
        offered = np.flatnonzero(allowed)
        rank = rank_by_score(target, scores, offered, self.rng) if allowed[target] else UNRANKED
        first = first_by_score(scores, offered, LIST_LENGTH, target, rank, self.of_lists)
        return rank, RankedList(first.tolist(), scores[first].tolist())
