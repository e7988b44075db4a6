"""Measures whether the item ids reveal the held-out items.

If ids were assigned along the users' histories with the held-out items included, as in the files of P5 and VIP5, then
the item after the last one tends to have the next number. The detector is a predictor without any training: it answers
the largest number of the history plus one, the last number plus one, the largest plus two, … Whatever it hits beyond
chance, a model that reads numbers can hit without knowing anything about the users.

Ids that follow only the training split (`sequential`, `collaborative`) put items of similar users near one another, so
that the detector hits a little with them too: this is knowledge from the training split, not a leak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vip5core.data.dataset import Dataset

#: The number of answers of the detector.
ANSWERS = 5


@dataclass(frozen=True)
class Leak:
    """How well the detector predicts the held-out items of a split.

    Attributes:
        hit_rate: the share of the users who are asked, whose held-out item is among the `ANSWERS` answers (HR@5).
        ndcg: the NDCG@5 of the answers.
        chance: the expected hit rate of as many items drawn at random from those not in the user's history.
    """

    hit_rate: float
    ndcg: float
    chance: float


def measure_leak(dataset: Dataset, split: str = "test") -> Leak:
    """Run the detector on the held-out items of `split` (valid or test)."""
    gains, chances = [], []
    for user in dataset.asked_users(split).tolist():
        history = dataset.before(user, split)
        answers = next_numbers(int(history.max()), int(history[-1]))
        target = dataset.target(user, split)
        gains.append(1 / math.log2(answers.index(target) + 2) if target in answers else 0.0)
        others = dataset.n_items - len(np.unique(history))
        chances.append(min(1.0, ANSWERS / others) if others else 0.0)
    found = np.array(gains)
    return Leak(float((found > 0).mean()), float(found.mean()), float(np.mean(chances)))


def next_numbers(largest: int, last: int) -> list[int]:
    """The detector's answers, best first: largest + 1, last + 1, largest + 2, … without duplicates."""
    answers = dict.fromkeys(number + step for step in range(1, ANSWERS + 1) for number in (largest, last))
    return list(answers)[:ANSWERS]
