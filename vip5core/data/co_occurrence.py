"""How many users have both of two items."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csr_array


def count_co_occurrences(items: np.ndarray, users: np.ndarray, n_items: int) -> csr_array:
    """Count the users whose histories contain both of two items. Shape: [n_items, n_items], diagonal 0.

    Args:
        items: the item of each interaction, numbered from 0. Shape: [interactions].
        users: the user of each interaction, numbered from 0. Shape: [interactions].
        n_items: the number of items.
    """
    once = pd.DataFrame({"user": users, "item": items}).drop_duplicates()
    shape = (int(users.max(initial=-1)) + 1, n_items)
    has = coo_array((np.ones(len(once)), (once["user"], once["item"])), shape=shape).tocsr()
    together = (has.T @ has).tocoo()
    apart = together.row != together.col
    return csr_array((together.data[apart], (together.row[apart], together.col[apart])), shape=together.shape)
