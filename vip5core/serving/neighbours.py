"""The nearest items in training: those that the same users have."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array, diags_array

from vip5core.data.co_occurrence import count_co_occurrences
from vip5core.data.dataset import Dataset


def nearest_items(dataset: Dataset, items: Iterable[int], count: int) -> dict[int, list[int]]:
    """The `count` nearest items of each of `items`, nearest first; fewer where fewer were ever had together.

    Two items are near if many users have both in their training histories, for how many have either: the cosine of
    their co-occurrence, shared users / √(users of one · users of the other).
    """
    training = dataset.interactions[dataset.interactions["split"] == "train"]
    counts = count_co_occurrences(training["item"].to_numpy() - 1, training["user"].to_numpy() - 1, dataset.n_items)
    scale = diags_array(1 / np.sqrt(np.maximum(dataset.training_popularity[1:], 1)))
    near = csr_array(scale @ counts @ scale)
    found = {}
    for item in items:
        row = slice(near.indptr[item - 1], near.indptr[item])
        best = np.argsort(-near.data[row], kind="stable")[:count]
        found[item] = (near.indices[row][best] + 1).tolist()
    return found
