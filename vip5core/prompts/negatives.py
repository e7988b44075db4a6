"""Items that a user has not seen in training, drawn for many users at once.

Shape letters: U users, R rows, K items per row.
"""

from __future__ import annotations

import numpy as np

#: Rows drawn at a time: what is compared over and over again then stays in the processor's cache.
_ROWS_AT_A_TIME = 2048


class Negatives:
    """Draws distinct items outside the users' training parts.

    Held-out items are among them: an item that is never a negative would be revealed by its absence.

    Attributes:
        available: How many different items each user has not seen in training. Shape: [U + 1], users count from 1.
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, n_users: int, n_items: int) -> None:
        """Index the training parts.

        Args:
            users: The user of each training interaction, from 1. Shape: [interactions].
            items: Its item, from 1. Shape: [interactions].
            n_users: The number of users.
            n_items: The number of items.
        """
        self._stride = n_items + 1
        seen_by, seen = np.divmod(np.unique(users.astype(np.int64) * self._stride + items), self._stride)
        self._starts = np.searchsorted(seen_by, np.arange(n_users + 1))
        # An item's rank among a user's unseen items is its number less the seen ones before it. `_gaps` has the number
        # of unseen items before each seen one, in one ascending array for all users.
        unseen_before = seen - 1 - (np.arange(len(seen)) - self._starts[seen_by])
        self._gaps = seen_by * self._stride + unseen_before
        self.available = n_items - np.bincount(seen_by, minlength=n_users + 1)

    def draw(self, rng: np.random.Generator, users: np.ndarray, count: int) -> np.ndarray:
        """Distinct negatives of each row: every set of them is equally likely, but not every order.

        Args:
            rng: The source of randomness.
            users: The user of each row. Shape: [R].
            count: K, the number of negatives per row.

        Returns:
            Items, and zeros in rows whose user has fewer than `count` unseen items. Shape: [R, K], int32.
        """
        drawn = np.empty((len(users), count), dtype=np.int32)
        for start in range(0, len(users), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            drawn[rows] = self._items(users[rows], self._ranks(rng, self.available[users[rows]], count)).T
        return drawn

    def _ranks(self, rng: np.random.Generator, available: np.ndarray, count: int) -> np.ndarray:
        """`count` distinct numbers below `available` for each row, negative where there are too few. Shape: [K, R].

        Robert Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", 1987): the numbers up to `last` take
        part one after the other, and a number that is already taken is replaced by `last`, which cannot be.
        """
        ranks = np.empty((count, len(available)), dtype=np.int32)
        for k in range(count):
            last = available - count + k
            number = rng.integers(0, np.maximum(last, 0) + 1)
            taken = (ranks[:k] == number.astype(np.int32)).any(axis=0)
            ranks[k] = np.where(taken | (last < 0), last, number)
        return ranks

    def _items(self, users: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """The unseen items of the given ranks, 0 for negative ones. Shape: [K, R]."""
        seen_before = np.searchsorted(self._gaps, users * self._stride + ranks, side="right") - self._starts[users]
        return np.where(ranks < 0, 0, ranks + 1 + seen_before)
