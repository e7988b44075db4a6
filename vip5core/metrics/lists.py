"""Metrics of what is recommended, whatever the target: how popular, how new, how varied.

All are of the first k items of each user's list, or of as many as it has. None says that a list is good: random
recommendation covers the whole catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see vip5core.metrics.ranking
    import numpy as np

#: The first items of a list that these metrics look at, k.
LIST_CUTOFF = 10


def coverage(items: np.ndarray, n_items: int) -> float:
    """Catalogue coverage: the share of all items that are in anybody's list (Herlocker et al. 2004).

    It grows with the number of users.

    >>> import numpy as np
    >>> coverage(np.array([1, 2, 2, 1, 4]), n_items=6)
    0.5
    """
    import numpy as np

    return len(np.unique(items)) / n_items


def popularity(items: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How often each item occurs in the training split; its mean over lists is the ARP (Yin et al. 2012).

    Args:
        items: Recommended items. Shape: [R].
        counts: The training interactions with each item. Shape: [items + 1], entry 0 unused.

    Returns:
        Shape: [R].
    """
    return counts[items].astype(float)


def self_information(items: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """-log2 p of each item, in bits, where p is its share of the training interactions (Zhou et al. 2010).

    An item that training has not seen counts as if it had occurred once.

    >>> import numpy as np
    >>> self_information(np.array([1, 2, 3]), counts=np.array([0, 4, 2, 2]))
    array([1., 2., 2.])

    Args:
        items: Recommended items. Shape: [R].
        counts: The training interactions with each item. Shape: [items + 1], entry 0 unused.

    Returns:
        Shape: [R].
    """
    import numpy as np

    return np.log2(counts.sum()) - np.log2(np.maximum(counts[items], 1))


def mean_cosine(directions: np.ndarray) -> np.ndarray:
    """The mean cosine of all pairs of a list's items: its similarity within (Ziegler et al. 2005, as a mean).

    >>> import numpy as np
    >>> mean_cosine(np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]))
    array([0.33333333])

    Args:
        directions: A vector of length 1 for each item of each list; those of zeros are no direction and left out, so
            that they fill up shorter lists. Shape: [L, k, D].

    Returns:
        The mean of each list; nan for fewer than two directions. Shape: [L].
    """
    import numpy as np

    n = directions.any(-1).sum(1)
    # In the square of the sum, each pair occurs twice, and each item once with itself.
    twice = np.square(directions.sum(1, dtype=float)).sum(1) - n
    return np.divide(twice, n * (n - 1), out=np.full(len(n), np.nan), where=n > 1)
