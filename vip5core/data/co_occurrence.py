"""How many users have both of two items, and the largest eigenvectors of what is made of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import eigsh


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


def largest_eigenvectors(matrix: csr_array, count: int, seed: int, dense_up_to: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues of a symmetric matrix, in ascending order, with their eigenvectors as columns.

    Args:
        matrix: The matrix. Shape: [size, size].
        count: The number of eigenvalues, below the size.
        seed: The seed of the sparse solver.
        dense_up_to: Up to this size all eigenvectors are computed, which is fast then; beyond, only the largest ones.

    Returns:
        Shape: [count], and [size, count].
    """
    size = matrix.shape[0]
    if size <= dense_up_to:
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[-count:], vectors[:, -count:]
    # Many items that all occur together give equal eigenvalues, for which the solver would restart from random numbers
    # that cannot be seeded; a little seeded noise makes the eigenvalues differ.
    rng = np.random.default_rng(seed)
    noise = diags_array(1e-9 * rng.standard_normal(size))
    values, vectors = eigsh(matrix + noise, k=count, which="LA", v0=rng.random(size))
    return values, vectors
