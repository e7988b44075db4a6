"""Item id schemes: the number that stands for each item in the prompts.

The number is text that the model reads and writes, so its digits carry meaning. Ids assigned along user histories with
the held-out items included reveal the answer: the paper's results of P5 and VIP5 use such ids (`provided`). All other
schemes use only the training split; `vip5core.data.leak` measures the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from vip5core.errors import UserError, unknown_name
from vip5core.vocabulary import ID_SCHEMES, PROVIDED


def random_ids(items: pd.Series, training: pd.DataFrame, seed: int) -> dict[str, int]:
    """Number the items by a seeded permutation: the number says nothing about the item."""
    del training
    order = np.random.default_rng(seed).permutation(len(items))
    return {raw: int(number) + 1 for raw, number in zip(items, order, strict=True)}


def sequential_ids(items: pd.Series, training: pd.DataFrame, seed: int) -> dict[str, int]:
    """Number the items by first appearance in the users' training histories, user by user.

    Items bought together get neighbouring numbers, as in P5's sequential indexing, but held-out interactions have no
    influence: items that occur only there come last, in seeded order (in order of appearance, their numbers would
    follow the test items).
    """
    seen = training.sort_values(["user", "position"], kind="stable")["item"].drop_duplicates()
    unseen = items[~items.isin(set(seen))].sample(frac=1.0, random_state=seed)
    return {raw: number for number, raw in enumerate([*seen, *unseen], start=1)}


def collaborative_ids(items: pd.Series, training: pd.DataFrame, seed: int) -> dict[str, int]:
    """Number the items along a tree of clusters: items bought by the same users share leading digits, more or less.

    The tree is a recursive spectral clustering of co-occurrences in the training split; see `vip5core.data.clusters`.
    """
    # Imported here: scikit-learn takes a second, and only this scheme needs it.
    from vip5core.data.clusters import order_by_clusters

    return {raw: number for number, raw in enumerate(order_by_clusters(items, training, seed), start=1)}


_SCHEMES: dict[str, Callable[[pd.Series, pd.DataFrame, int], dict[str, int]]] = {
    "random": random_ids,
    "sequential": sequential_ids,
    "collaborative": collaborative_ids,
}


def assign_item_ids(
    scheme: str, items: pd.Series, training: pd.DataFrame, seed: int, provided: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Number the items from 1; returns the number of each raw item id.

    Args:
        scheme: the name of the scheme, one of `vip5core.vocabulary.ID_SCHEMES`.
        items: all raw item ids.
        training: the training interactions (user, item, position), with raw ids.
        seed: the seed of everything random in a scheme.
        provided: the source's own numbers; the scheme `provided` keeps their order, and the numbers themselves if
            they are 1, 2, … without a gap.

    Raises:
        UserError: for an unknown scheme, or for `provided` if the source does not number all items.
    """
    if scheme == PROVIDED:
        missing = items[~items.isin(set(provided or {}))]
        if provided is None or len(missing):
            example = f", not {missing.iloc[0]!r}" if len(missing) else ""
            raise UserError(
                f"id scheme 'provided': the source numbers {len(items) - len(missing)} of {len(items)} items"
                f"{example}; choose another: {', '.join(_SCHEMES)}"
            )
        ordered = sorted(items, key=lambda raw: (provided[raw], raw))
        return {raw: number for number, raw in enumerate(ordered, start=1)}
    if scheme not in _SCHEMES:
        raise unknown_name("id scheme", scheme, ID_SCHEMES)
    return _SCHEMES[scheme](items.sort_values(kind="stable"), training, seed)
