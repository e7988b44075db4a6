"""The trie of item ids, as tensors: which tokens may follow which.

Shape letters: B users, K beams, C children.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Trie:
    """A prefix tree over item token sequences, each ended by `</s>` if one may begin another; node 0 is the root.

    The children of a node are numbered consecutively, in ascending token order: those of node v are
    `first_child[v]` … `first_child[v] + n_children[v] - 1`. An edge has the number of the node that it leads to.

    Attributes:
        token: The token on the edge into each node. Shape: [nodes].
        first_child: The first child of each node. Shape: [nodes].
        n_children: The number of children of each node. Shape: [nodes].
        item: The item that ends at each node, 0 elsewhere. Shape: [nodes].
        first_leaf: The items below a node are `leaf_items[first_leaf : last_leaf]`. Shape: [nodes].
        last_leaf: See `first_leaf`. Shape: [nodes].
        leaf_items: All items in the order of the tree. Shape: [items].
        widths: The largest number of children of a node at depth 0, 1, …
    """

    token: Tensor
    first_child: Tensor
    n_children: Tensor
    item: Tensor
    first_leaf: Tensor
    last_leaf: Tensor
    leaf_items: Tensor
    widths: tuple[int, ...]

    @classmethod
    def build(cls, sequences: Sequence[np.ndarray], items: Sequence[int], eos: int | None) -> Trie:
        """Build the trie of items from their token ids.

        Args:
            sequences: The token ids of each item, without `</s>`.
            items: The items, in the same order.
            eos: The id of `</s>`; None if no item's tokens begin another's, so that none needs an end.

        Raises:
            ValueError: if two items have the same tokens, which no decoding could distinguish, or if an end is needed.
        """
        ending: tuple[int, ...] = () if eos is None else (eos,)
        order = sorted(range(len(items)), key=lambda i: (*sequences[i].tolist(), *ending))
        rows = [(*sequences[i].tolist(), *ending) for i in order]
        leaf_items = [int(items[i]) for i in order]
        for row, after, item in zip(rows, rows[1:], leaf_items, strict=False):
            if row == after[: len(row)]:
                raise ValueError(f"item {item} and another have the same tokens {row}")
        token, first_child, n_children, item_at = [0], [0], [0], [0]
        first_leaf, last_leaf = [0], [len(rows)]
        widths = []
        level = [0]  # breadth first: a node's children are numbered together
        depth = 0
        while level:
            below = []
            for node in level:
                start, end = first_leaf[node], last_leaf[node]
                if item_at[node]:
                    continue
                first_child[node] = len(token)
                while start < end:
                    edge = rows[start][depth]
                    stop = start + 1
                    while stop < end and rows[stop][depth] == edge:
                        stop += 1
                    below.append(len(token))
                    token.append(edge)
                    first_child.append(0)
                    n_children.append(0)
                    item_at.append(leaf_items[start] if len(rows[start]) == depth + 1 else 0)
                    first_leaf.append(start)
                    last_leaf.append(stop)
                    n_children[node] += 1
                    start = stop
            widths.append(max((n_children[node] for node in level), default=0))
            level = below
            depth += 1
        return cls(
            token=torch.tensor(token),
            first_child=torch.tensor(first_child),
            n_children=torch.tensor(n_children),
            item=torch.tensor(item_at),
            first_leaf=torch.tensor(first_leaf),
            last_leaf=torch.tensor(last_leaf),
            leaf_items=torch.tensor(leaf_items),
            widths=tuple(width for width in widths if width),
        )

    def to(self, device: torch.device | str) -> Trie:
        """The same trie on another device."""
        tensors = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Trie(**tensors, widths=self.widths)

    def open_nodes(self, allowed: Tensor) -> Tensor:
        """Whether each node leads to an allowed item.

        This turns a candidate list or an excluded history into a constraint for each user on the shared trie.

        Args:
            allowed: Whether each item may be ranked. Shape: [B, items + 1], bool.

        Returns:
            Whether each user may enter each node. Shape: [B, nodes], bool.
        """
        before = torch.nn.functional.pad(allowed[:, self.leaf_items].cumsum(1), (1, 0))  # [B, items + 1]
        return before[:, self.last_leaf] > before[:, self.first_leaf]
