"""Bottleneck adapters, added to a T5 by wrapping the output projections of its sub-layers.

An adapter acts on a sub-layer's output before the residual is added. That output comes from the sub-layer's last linear
map (`SelfAttention.o`, `EncDecAttention.o`, `DenseReluDense.wo`), so it is enough to wrap that map, in every variant of
T5, without changing the backbone's code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vip5core.errors import UserError
from vip5core.vocabulary import SHARED

#: The positions of adapters, and the output projection to wrap at each.
POSITIONS = {"self": "SelfAttention.o", "cross": "EncDecAttention.o", "feed_forward": "DenseReluDense.wo"}


class Adapter(nn.Module):
    """Down-projection, GELU-new, up-projection; the residual is the wrapper's.

    Args:
        d_model: The width of the backbone.
        bottleneck: The width inside, d_model / reduction factor.
        identity_start: Whether the adapter starts as the identity (up-projection zero). In the official code it starts
            with PyTorch's default up-projection, which disturbs a pretrained T5-small from the first step.
    """

    def __init__(self, *, d_model: int, bottleneck: int, identity_start: bool) -> None:
        super().__init__()
        self.down = nn.Linear(d_model, bottleneck)
        self.up = nn.Linear(bottleneck, d_model)
        if identity_start:
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [..., D] to [..., D]."""
        return self.up(F.gelu(self.down(x), approximate="tanh"))


class ActiveTask:
    """The task whose adapters are active, shared by all wrappers of one model."""

    def __init__(self) -> None:
        self.name = SHARED

    @contextmanager
    def set(self, name: str) -> Iterator[None]:
        before, self.name = self.name, name
        try:
            yield
        finally:
            self.name = before


class AdaptedLinear(nn.Module):
    """A linear map followed by the active adapter, with a residual around the adapter."""

    def __init__(self, linear: nn.Linear, bank: nn.ModuleDict, active: ActiveTask) -> None:
        super().__init__()
        self.linear = linear
        self.bank = bank
        self._active = active

    @property
    def weight(self) -> Tensor:
        """The weight of the linear map, whose dtype T5's feed-forward layer reads."""
        return self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [..., input width] to [..., D]."""
        out = self.linear(x)
        adapter = self.bank[SHARED if SHARED in self.bank else self._active.name]
        return out + adapter(out)


def bottleneck_width(d_model: int, reduction_factor: int) -> int:
    """Width inside the adapters.

    Raises:
        UserError: if the factor is larger than the width or less than 1.
    """
    if not 1 <= reduction_factor <= d_model:
        raise UserError(f"reduction_factor={reduction_factor}: must be between 1 and the backbone's width, {d_model}")
    return d_model // reduction_factor


def add_adapters(
    backbone: nn.Module,
    *,
    d_model: int,
    reduction_factor: int,
    positions: Sequence[str] = tuple(POSITIONS),
    tasks: Sequence[str] = (SHARED,),
    identity_start: bool = True,
) -> ActiveTask:
    """Wrap the output projections at `positions` of every block.

    Args:
        backbone: A `T5ForConditionalGeneration`, which is changed in place.
        d_model: The width of the backbone.
        reduction_factor: The width of the backbone divided by that of an adapter.
        positions: The positions of adapters, as named in `POSITIONS`.
        tasks: The tasks that have an adapter each, or `(SHARED,)` for one adapter for all.
        identity_start: Whether adapters start as the identity.

    Returns:
        The switch that selects the task whose adapters are active.

    Raises:
        UserError: if the reduction factor is impossible.
    """
    active = ActiveTask()
    width = bottleneck_width(d_model, reduction_factor)
    endings = tuple(POSITIONS[position] for position in positions)
    wrapped = [name for name, _ in backbone.named_modules() if name.endswith(endings)]
    for name in wrapped:
        parent, _, child = name.rpartition(".")
        owner = backbone.get_submodule(parent)
        bank = nn.ModuleDict(
            {task: Adapter(d_model=d_model, bottleneck=width, identity_start=identity_start) for task in tasks}
        )
        setattr(owner, child, AdaptedLinear(getattr(owner, child), bank, active))
    return active


def adapter_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of every adapter in `module`."""
    for part in module.modules():
        if isinstance(part, Adapter):
            yield from part.parameters()


def is_layer_norm(module: nn.Module) -> bool:
    """Is it a norm of the backbone (T5's own class or torch's)?"""
    return type(module).__name__ == "T5LayerNorm" or isinstance(module, nn.LayerNorm | torch.nn.RMSNorm)
