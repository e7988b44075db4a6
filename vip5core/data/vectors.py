"""Vectors of items and users from which items the same users have in their training histories.

A truncated eigendecomposition of the co-occurrence of items, as in latent semantic analysis (Deerwester et al., 1990)
and PureSVD (Cremonesi et al., 2010): items that the same users have lie in similar directions. It uses the training
part alone, so that it reveals nothing about held-out items.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array, diags_array
from threadpoolctl import threadpool_limits

from vip5core.data.co_occurrence import count_co_occurrences, largest_eigenvectors
from vip5core.data.dataset import Dataset
from vip5core.vocabulary import FADING

#: Up to this many items it is fast to compute all eigenvectors, of which many are needed.
_DENSE = 2_000


def item_vectors(dataset: Dataset, width: int, seed: int) -> np.ndarray:
    """A vector of each item, with mean square 1 over all items of the training part.

    Co-occurrence is scaled by one over the root of both items' popularity, and its diagonal is zero. The first `width`
    eigenvectors are scaled by the root of their eigenvalues, and rotated at random: no column is special then, as none
    is for layers with random weights.

    Args:
        dataset: The dataset, of whose interactions only the training part is read.
        width: The width of the vectors. In a catalogue of fewer items, or where fewer eigenvalues are positive, they
            lie in a subspace.
        seed: The seed of the rotation, and of the vectors of items that the training part lacks: these are random.

    Returns:
        The vectors; row i is item i, row 0 is 0. Shape: [items + 1, width].
    """
    training = dataset.interactions[dataset.interactions["split"] == "train"]
    counts = count_co_occurrences(training["item"].to_numpy() - 1, training["user"].to_numpy() - 1, dataset.n_items)
    rng = np.random.default_rng([seed, dataset.n_items])
    scale = diags_array(1 / np.sqrt(np.maximum(dataset.training_popularity[1:], 1)))
    with threadpool_limits(1):  # splitting sums over threads changes their last digits
        values, vectors = largest_eigenvectors(
            csr_array(scale @ counts @ scale), min(width, dataset.n_items - 1), seed, _DENSE
        )
    # The largest first, and each with a positive sum: else its sign would be arbitrary.
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)
    found = np.zeros((dataset.n_items + 1, width))
    found[1:, : len(values)] = vectors * np.sqrt(np.maximum(values, 0))
    rotation, triangle = np.linalg.qr(rng.standard_normal((width, width)))
    found = found @ (rotation * np.sign(np.diag(triangle)))
    return _scale_and_fill(found, rng)


def user_vectors(dataset: Dataset, items: np.ndarray, seed: int) -> np.ndarray:
    """The mean vector of each user's training items, of which newer ones weigh more, with mean square 1 over all users.

    Args:
        dataset: The dataset, of whose interactions only the training part is read.
        items: The vectors of items. Shape: [items + 1, width].
        seed: The seed of the vectors of users that the training part lacks: these are random.

    Returns:
        The vectors; row u is user u, row 0 is 0. Shape: [users + 1, width].
    """
    training = dataset.interactions[dataset.interactions["split"] == "train"]
    users = training["user"].to_numpy()
    age = np.bincount(users)[users] - 1 - training["position"].to_numpy()
    shape = (dataset.n_users + 1, dataset.n_items + 1)
    weights = csr_array((FADING**age, (users, training["item"].to_numpy())), shape=shape)
    means = (weights @ items) / np.maximum(weights.sum(axis=1), np.finfo(float).tiny)[:, None]
    return _scale_and_fill(means, np.random.default_rng([seed, dataset.n_users]))


def _scale_and_fill(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale the rows that are not 0 to mean square 1, and draw the others, but for row 0. Shape as given."""
    known = vectors.any(axis=1)
    vectors[known] /= np.sqrt(np.mean(vectors[known] ** 2)) if known.any() else 1
    unknown = np.flatnonzero(~known)[1:]
    vectors[unknown] = rng.standard_normal((len(unknown), vectors.shape[1]))
    return vectors


def id_token_vectors(dataset: Dataset, items: np.ndarray) -> np.ndarray:
    """The mean vector of the items whose ids have a token, for each token that ids are made of.

    A token that one item has alone is its vector, so that ids of one token each start as numbers of one piece do.

    Args:
        dataset: The dataset, whose ids are made of tokens.
        items: The vectors of items. Shape: [items + 1, width].

    Returns:
        Shape: [tokens, width].
    """
    ids = dataset.items["id_tokens"]
    tokens, of_item = np.concatenate(ids.tolist()), np.repeat(dataset.items["item"].to_numpy(), ids.map(len))
    has = csr_array((np.ones(len(tokens)), (tokens, of_item)), shape=(dataset.n_id_tokens, len(items)))
    means: np.ndarray = (has @ items) / has.sum(axis=1)[:, None]
    return means
