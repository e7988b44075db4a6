"""The workers of one trial: one process, or a data-parallel group of torch.distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

Rows = TypeVar("Rows", Sequence[Any], np.ndarray)


class WorkerGroup:
    """A single worker: every collective operation is the identity.

    Attributes:
        rank: The number of this worker, from 0.
        size: The number of workers.
    """

    rank = 0
    size = 1

    def share(self, rows: Rows) -> Rows:
        """This worker's part of a batch or a list of users: every `size`-th row."""
        return rows[self.rank :: self.size]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace the gradients by their sums over all workers."""

    def gather(self, value: Any) -> list[Any]:
        """The values of all workers, in rank order, on every worker."""
        return [value]


class DistributedGroup(WorkerGroup):
    """The workers of an initialised torch.distributed process group.

    Gradients are summed once per step over the few trainable parameters, after accumulation. (The official code wraps
    its model for this, then calls the wrapped module directly: its gradients are never synchronised.)
    """

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        # A worker whose rows have no image has no gradient for the mapping network: zeros keep the layout equal.
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)

    def gather(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values
