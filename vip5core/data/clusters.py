"""Orders items so that those of the same users are neighbours.

The collaborative indexing of Hua et al., "How to Index Item IDs for Recommendation Foundation Models" (2023): spectral
clustering of the graph of co-occurrences, repeated inside each cluster until clusters are small. In the paper an id is
the path through that tree. So it is here for `collaborative+independent`; for `collaborative`, whose ids are numbers,
items are numbered along its leaves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from vip5core.data.co_occurrence import count_co_occurrences, largest_eigenvectors

#: Clusters at each level, and the size below which a cluster is not split: a decimal digit each.
BRANCHES = 10
LEAF = 10
#: Up to this many items it is fast to compute all eigenvectors, of which few are needed.
_DENSE = 400


#: The place of an item's cluster among those of its parent, level by level.
Path = tuple[int, ...]


def order_by_clusters(items: pd.Series, training: pd.DataFrame, seed: int) -> dict[str, Path]:
    """Order all of `items` along the tree of clusters; those without training interactions come last, in seeded order.

    The same input gives the same order with any number of threads. Another processor or another version of the
    numerical libraries may resolve near-ties differently. The numbers are stored with the dataset: share that.

    Args:
        items: the raw item ids.
        training: the training interactions (user, item), with raw ids.
        seed: the seed of the clustering and of the order within a leaf.

    Returns:
        The path of each item, in that order; that of an item without training interactions is empty.
    """
    rng = np.random.default_rng(seed)
    names = items.to_numpy()
    places = pd.Index(items).get_indexer(training["item"])
    graph = count_co_occurrences(places, pd.factorize(training["user"])[0], len(names))
    seen = np.unique(places)
    unseen = np.setdiff1d(np.arange(len(names)), seen)
    with threadpool_limits(1):  # splitting sums over threads changes their last digits, and so near-ties
        leaves = _leaves(graph, rng.permutation(seen), seed)
        leaves += [(item, ()) for item in rng.permutation(unseen)]
    return {names[item]: path for item, path in leaves}


def _leaves(graph: csr_array, members: np.ndarray, seed: int, path: Path = ()) -> list[tuple[int, Path]]:
    """`members` (rows of `graph`) along the leaves of their tree, whose root is at `path`, each with its own path."""
    if len(members) <= LEAF:
        return [(item, path) for item in members.tolist()]
    within = graph[members][:, members]
    pieces, piece_of = connected_components(within, directed=False)
    if pieces > 1:  # a disconnected graph has no single spectrum; its largest component comes first
        parts = [members[piece_of == piece] for piece in range(pieces)]
        parts.sort(key=len, reverse=True)
    else:
        label_of = _spectral(within, seed)
        parts = [members[label_of == label] for label in range(BRANCHES)]
    parts = [part for part in parts if len(part)]
    if len(parts) == 1:
        return [(item, path) for item in members.tolist()]
    return [leaf for place, part in enumerate(parts) for leaf in _leaves(graph, part, seed, (*path, place))]


def _spectral(affinity: csr_array, seed: int) -> np.ndarray:
    """A cluster for each row of a connected graph (Ng, Jordan and Weiss, "On Spectral Clustering", 2001).

    scikit-learn's own `spectral_clustering` factorises a nearly dense matrix here, which does not finish, and its
    faster solver stops at a precision that leaves the labels to chance.
    """
    clusters = min(BRANCHES, affinity.shape[0] - 1)
    scale = diags_array(1 / np.sqrt(affinity.sum(axis=0)))
    normalised = scale @ affinity @ scale
    _, vectors = largest_eigenvectors(normalised, clusters, seed, _DENSE)
    rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows *= np.sign(rows.sum(axis=0) + 1e-9)  # the sign of an eigenvector is arbitrary, its last digits are noise
    labels: np.ndarray = KMeans(clusters, n_init=4, random_state=seed).fit_predict(rows.round(6))
    return labels
