"""Candidate lists of direct recommendation: drawn once, stored with the dataset, the same for every trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from vip5core.vocabulary import CANDIDATES


def draw_candidates(
    histories: Sequence[np.ndarray],
    targets: Sequence[Mapping[str, int]],
    n_items: int,
    seed: int,
    size: int = CANDIDATES,
    provided: Mapping[int, Sequence[int]] | None = None,
) -> pd.DataFrame:
    """Draw `size` candidates for every target of a user: the target and negatives, shuffled.

    Negatives are items that are not in the user's history. If there are too few of them, the list has all of them.

    Args:
        histories: the item ids of users 1, 2, …, held-out ones included.
        targets: the items of users 1, 2, … that are asked for, by held-out split.
        n_items: the number of items; their ids are 1 … n_items.
        seed: the seed of the draws.
        size: the length of a list, with the target.
        provided: negatives that came with the source, by user; items of the history are removed from them, and what is
            missing is drawn.

    Returns:
        A table with the columns user, split, candidates (a list of item ids, with the target).
    """
    rng = np.random.default_rng([seed, n_items])

    def rows() -> Iterator[dict[str, object]]:
        for user, (history, of_user) in enumerate(zip(histories, targets, strict=True), start=1):
            for split, target in of_user.items():
                negatives = _negatives(rng, history, n_items, size - 1, (provided or {}).get(user, ()))
                yield {
                    "user": user,
                    "split": split,
                    "candidates": rng.permutation(np.append(negatives, target)).astype(np.int32),
                }

    return pd.DataFrame(rows(), columns=["user", "split", "candidates"])


def _negatives(
    rng: np.random.Generator, history: np.ndarray, n_items: int, size: int, provided: Sequence[int]
) -> np.ndarray:
    """`size` distinct items outside `history`, or all of them if there are fewer; those of `provided` first."""
    known = set(history.tolist())
    chosen = [item for item in dict.fromkeys(provided) if item not in known][:size]
    free = n_items - len(known)
    if free <= 2 * size:  # rejection sampling would be slow: draw from the complement
        complement = np.setdiff1d(np.arange(1, n_items + 1), np.append(history, chosen))
        return np.append(np.array(chosen, dtype=np.int32), rng.permutation(complement)[: size - len(chosen)])
    taken = known.union(chosen)
    while len(chosen) < size:
        for item in rng.integers(1, n_items + 1, size - len(chosen)).tolist():
            if item not in taken:
                taken.add(item)
                chosen.append(item)
    return np.array(chosen, dtype=np.int32)
