"""The metrics of the official notebook, reproduced to compare with published figures. No trial uses this.

Where the official code fails an assertion, because a user's list is empty or has nothing that can be read as a number,
the user counts as a miss here; a target that is not a number raises a `ValueError`, as there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def evaluate_all(
    scores: Mapping[int, Sequence[tuple[int, float]]], relevant: Mapping[int, Iterable[int]], k: int
) -> dict[str, float]:
    """The means of the official metrics, of the first k items by score, over the users that have a prediction.

    Args:
        scores: The (item, score) pairs of each user.
        relevant: The relevant items of each user. Users without a prediction are left out, as in the official code; our
            own evaluation never leaves a user out.
        k: The number of items that count.

    Returns:
        The metrics ndcg, map, recall, precision, mrr and hit. The ideal of NDCG ranks only the items that were found:
        missed ones do not lower it. Precision is divided by the length of the list, not by k.
    """
    rows = []
    for user, pairs in scores.items():
        wanted = set(relevant[user])
        ranked = [item for item, _ in sorted(pairs, key=lambda pair: -pair[1])[:k]]
        hits = [item in wanted for item in ranked]
        places = [place for place, hit in enumerate(hits, start=1) if hit]
        ideal = sum(1.0 / math.log2(place + 1) for place in range(1, len(places) + 1))
        rows.append(
            (
                sum(1.0 / math.log2(place + 1) for place in places) / ideal if ideal else 0.0,
                sum((n + 1) / place for n, place in enumerate(places)) / len(places) if places else 0.0,
                len(places) / len(wanted),
                len(places) / len(ranked) if ranked else 0.0,
                1.0 / places[0] if places else 0.0,
                float(bool(places)),
            )
        )
    means = np.mean(rows, axis=0)
    return dict(zip(("ndcg", "map", "recall", "precision", "mrr", "hit"), map(float, means), strict=True))


def rouge(references: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
    """F, recall and precision of ROUGE-1, -2, -L in percent, on *sets* of n-grams of words, split at single spaces."""
    if not texts:
        raise ValueError("no texts to compare")
    out = {}
    for name, n in (("rouge_1", 1), ("rouge_2", 2)):
        out[name] = [_overlap(_ngrams(text, n), _ngrams(ref, n)) for ref, text in zip(references, texts, strict=True)]
    out["rouge_l"] = [_longest(ref.split(" "), text.split(" ")) for ref, text in zip(references, texts, strict=True)]
    return {
        f"{name}/{part}": 100.0 * float(np.mean([row[place] for row in rows]))
        for name, rows in out.items()
        for place, part in enumerate(("f_score", "r_score", "p_score"))
    }


def _ngrams(text: str, n: int) -> set[tuple[str, ...]]:
    words = text.split(" ")
    return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)}


def _overlap(text: set[tuple[str, ...]], reference: set[tuple[str, ...]]) -> tuple[float, float, float]:
    both = len(text & reference)
    precision = both / len(text) if text else 0.0
    recall = both / len(reference) if reference else 0.0
    return 2.0 * precision * recall / (precision + recall + 1e-8), recall, precision


def _longest(reference: list[str], text: list[str]) -> tuple[float, float, float]:
    """Scores of the longest common subsequence, with the F score of Lin (2004) at beta = precision / recall."""
    row = [0] * (len(text) + 1)
    for word in reference:
        diagonal = 0
        for column, other in enumerate(text, start=1):
            diagonal, row[column] = (
                row[column],
                diagonal + 1 if word == other else max(row[column], row[column - 1]),
            )
    recall, precision = row[-1] / len(reference), row[-1] / len(text)
    beta = precision / (recall + 1e-12)
    return (1 + beta**2) * recall * precision / (recall + beta**2 * precision + 1e-12), recall, precision
