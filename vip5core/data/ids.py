"""Item id schemes: which number stands for an item in the prompts.

The number is text that the model reads and writes, so its digits carry meaning. Ids that run along user
histories with the held-out items included give the answer away: the published numbers of P5 and VIP5 rest on
such ids (`provided`). All other schemes know the training part alone; `vip5core.data.leak` measures the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from vip5core.errors import UserError, unknown_name
from vip5core.vocabulary import ID_SCHEMES, PROVIDED


def random_ids(items: pd.Series, training: pd.DataFrame, seed: int) -> dict[str, int]:
    """A seeded permutation: the number says nothing about the item."""
    del training
    order = np.random.default_rng(seed).permutation(len(items))
    return {raw: int(number) + 1 for raw, number in zip(items, order, strict=True)}


def sequential_ids(items: pd.Series, training: pd.DataFrame, seed: int) -> dict[str, int]:
    """Numbered by first appearance along the users' training parts, user by user.

    Items bought together get neighbouring numbers, as in P5's sequential indexing, but held-out interactions
    have no say: items that only they contain come last, in seeded order (in their order of appearance the
    numbers would run along the test items).
    """
    seen = training.sort_values(["user", "position"], kind="stable")["item"].drop_duplicates()
    unseen = items[~items.isin(set(seen))].sample(frac=1.0, random_state=seed)
    return {raw: number for number, raw in enumerate([*seen, *unseen], start=1)}


def collaborative_ids(items: pd.Series, training: pd.DataFrame, seed: int) -> dict[str, int]:
    """Numbered along a tree of clusters: items bought by the same users share leading digits, more or less.

    Spectral clustering of the co-occurrence in the training part, again and again; see `vip5core.data.clusters`.
    """
    # Imported here: scikit-learn takes a second, and only this scheme needs it.
    from vip5core.data.clusters import clustered_order

    return {raw: number for number, raw in enumerate(clustered_order(items, training, seed), start=1)}


_SCHEMES: dict[str, Callable[[pd.Series, pd.DataFrame, int], dict[str, int]]] = {
    "random": random_ids,
    "sequential": sequential_ids,
    "collaborative": collaborative_ids,
}


def assign_item_ids(
    scheme: str, items: pd.Series, training: pd.DataFrame, seed: int, provided: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Raw item id to number, 1 to len(items).

    Args:
        scheme: a name in `vip5core.vocabulary.ID_SCHEMES`.
        items: every raw item id.
        training: the training interactions (user, item, position), raw ids.
        seed: of the random parts.
        provided: the source's own numbers; the scheme `provided` keeps their order, and the numbers themselves if
            they are 1, 2, … without a gap.

    Raises:
        UserError: for an unknown scheme, or `provided` where the source has no numbers.
    """
    if scheme == PROVIDED:
        missing = items[~items.isin(set(provided or {}))]
        if provided is None or len(missing):
            example = f", such as {missing.iloc[0]!r}" if len(missing) else ""
            raise UserError(
                f"id scheme 'provided': the source numbers {len(items) - len(missing)} of {len(items)} items"
                f"{example}; choose another: {', '.join(_SCHEMES)}"
            )
        ordered = sorted(items, key=lambda raw: (provided[raw], raw))
        return {raw: number for number, raw in enumerate(ordered, start=1)}
    if scheme not in _SCHEMES:
        raise unknown_name("id scheme", scheme, ID_SCHEMES)
    return _SCHEMES[scheme](items.sort_values(kind="stable"), training, seed)
