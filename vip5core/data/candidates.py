"""Candidate lists of direct recommendation: drawn once, stored with the dataset, the same for every trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from vip5core.vocabulary import CANDIDATES


def draw_candidates(
    histories: Sequence[np.ndarray],
    n_items: int,
    seed: int,
    size: int = CANDIDATES,
    given: Mapping[int, Sequence[int]] | None = None,
) -> pd.DataFrame:
    """For every user and held-out split, `size` items: the target and items the user never touched, shuffled.

    A small catalogue gives shorter lists: all that the user never touched.

    Args:
        histories: item ids in time order, for users 1, 2, …; the last is the test item, the one before validation.
        n_items: items are 1 … n_items.
        given: negatives that a source prescribes, by user; items of the history are left out of them, and what is
            missing is drawn.

    Returns:
        Columns user, split, candidates (list of item ids, the target among them).
    """
    rng = np.random.default_rng([seed, n_items])

    def rows() -> Iterator[dict[str, object]]:
        for user, history in enumerate(histories, start=1):
            for split, target in (("valid", history[-2]), ("test", history[-1])):
                negatives = _negatives(rng, history, n_items, size - 1, (given or {}).get(user, ()))
                yield {
                    "user": user,
                    "split": split,
                    "candidates": rng.permutation(np.append(negatives, target)).astype(np.int32),
                }

    return pd.DataFrame(rows(), columns=["user", "split", "candidates"])


def _negatives(
    rng: np.random.Generator, history: np.ndarray, n_items: int, size: int, given: Sequence[int]
) -> np.ndarray:
    """`size` distinct items outside `history`, or all of them if there are not so many; those of `given` first."""
    touched = set(history.tolist())
    chosen = [item for item in dict.fromkeys(given) if item not in touched][:size]
    free = n_items - len(touched)
    if free <= 2 * size:  # rejection would be slow: draw from the complement itself
        complement = np.setdiff1d(np.arange(1, n_items + 1), np.append(history, chosen))
        return np.append(np.array(chosen, dtype=np.int32), rng.permutation(complement)[: size - len(chosen)])
    taken = touched.union(chosen)
    while len(chosen) < size:
        for item in rng.integers(1, n_items + 1, size - len(chosen)).tolist():
            if item not in taken:
                taken.add(item)
                chosen.append(item)
    return np.array(chosen, dtype=np.int32)
