"""Slices of the test users: how well are those served of whom, or of whose target, training has seen little?

    cold     the target does not occur in the training split
    tail     it occurs there, but is not head
    head     it is one of the most frequent items that make up half of the training interactions
    short    the user has at most as many training interactions as the median user
    long     the user has more

Frequencies decide, not item numbers, so a slice has the same users under every id scheme: items that are as frequent as
the last one of the head belong to it, too. A slice is a view of the per-user values, which keep its name in a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see vip5core.metrics.ranking
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Slice:
    """A part of the test users.

    Attributes:
        name: The name of the slice, as in the names of metrics.
        by: What it is about: the `target` or the `history`.
        words: What it is called in a table.
    """

    name: str
    by: str
    words: str

    @property
    def column(self) -> str:
        """The column of the per-user rows that holds the name."""
        return f"{self.by}_slice"

    def holds(self, rows: pd.DataFrame) -> pd.Series:
        """Is the user of each row in it? Nobody is if the rows do not say."""
        return rows.reindex(columns=[self.column])[self.column] == self.name


SLICES = {
    known.name: known
    for known in (
        Slice("cold", "target", "cold items"),
        Slice("tail", "target", "tail items"),
        Slice("head", "target", "head items"),
        Slice("short", "history", "short histories"),
        Slice("long", "history", "long histories"),
    )
}


def slice_targets(targets: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The slice of each target: cold, tail or head.

    >>> import numpy as np
    >>> slice_targets(np.array([1, 2, 3, 4]), counts=np.array([0, 6, 3, 1, 0])).tolist()
    ['head', 'tail', 'tail', 'cold']

    Args:
        targets: The item of each user. Shape: [users].
        counts: How often each item occurs in the training split. Shape: [items + 1], entry 0 unused.
    """
    import numpy as np

    ordered = np.sort(counts[1:])[::-1]
    last_of_head = ordered[np.searchsorted(np.cumsum(ordered), counts[1:].sum() / 2)]
    found = counts[targets]
    return np.select([found == 0, found >= last_of_head], ["cold", "head"], "tail").astype(object)


def slice_histories(users: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The slice of each user: short or long.

    >>> import numpy as np
    >>> slice_histories(np.array([1, 2, 3]), lengths=np.array([0, 4, 5, 9])).tolist()
    ['short', 'short', 'long']

    Args:
        users: The users who are asked. Shape: [users].
        lengths: The number of training interactions of every user. Shape: [all users + 1], entry 0 unused.
    """
    import numpy as np

    return np.where(lengths[users] <= np.median(lengths[1:]), "short", "long").astype(object)
