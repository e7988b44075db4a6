"""Bottleneck adapters, put into a T5 by wrapping the output projections of its sub-layers.

An adapter acts on a sub-layer's output before the residual is added. That output is what the sub-layer's last linear
map gives (`SelfAttention.o`, `EncDecAttention.o`, `DenseReluDense.wo`), so wrapping that map is all it takes, for
every T5 variant, and the backbone's code stays untouched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from vip5core.errors import UserError

SHARED = "shared"

#: Where adapters can sit, and the output projection to wrap there.
POSITIONS = {"self": "SelfAttention.o", "cross": "EncDecAttention.o", "feed_forward": "DenseReluDense.wo"}


class Adapter(nn.Module):
    """Down-projection, GELU-new, up-projection; the residual is the wrapper's.

    Args:
        d_model: width of the backbone.
        bottleneck: width inside, d_model / reduction factor.
        identity_start: start as the identity (up-projection zero). The official adapters start with the up-projection
            at PyTorch's default, which at T5-small disturbs a trained backbone from the first step.
    """

    def __init__(self, *, d_model: int, bottleneck: int, identity_start: bool) -> None:
        super().__init__()
        self.down = nn.Linear(d_model, bottleneck)
        self.up = nn.Linear(bottleneck, d_model)
        self.activation = ACT2FN["gelu_new"]
        if identity_start:
            nn.init.zeros_(self.up.weight)
            nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [..., D] to the same."""
        return self.up(self.activation(self.down(x)))


class ActiveTask:
    """Which adapter of each bank works: shared by all wrappers of one model."""

    def __init__(self) -> None:
        self.name = SHARED

    @contextmanager
    def set(self, name: str) -> Iterator[None]:
        before, self.name = self.name, name
        try:
            yield
        finally:
            self.name = before


class WithAdapter(nn.Module):
    """A linear map followed by the active adapter, with a residual around the adapter."""

    def __init__(self, linear: nn.Linear, bank: nn.ModuleDict, active: ActiveTask) -> None:
        super().__init__()
        self.linear = linear
        self.bank = bank
        self._active = active

    @property
    def weight(self) -> Tensor:
        """T5's feed-forward asks its output projection for its dtype."""
        return self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [..., input width] to [..., D]."""
        out = self.linear(x)
        adapter = self.bank[SHARED if SHARED in self.bank else self._active.name]
        return out + adapter(out)


def bottleneck_width(d_model: int, reduction_factor: int) -> int:
    """Width inside the adapters.

    Raises:
        UserError: if nothing of the width is left.
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
        backbone: a `T5ForConditionalGeneration`; changed in place.
        positions: names in `POSITIONS`.
        tasks: one adapter for each, or `(SHARED,)` for one that serves all.

    Returns:
        The switch that says which task's adapter works.
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
        setattr(owner, child, WithAdapter(getattr(owner, child), bank, active))
    return active


def adapter_parameters(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of every adapter in `module`."""
    for part in module.modules():
        if isinstance(part, Adapter):
            yield from part.parameters()


def is_layer_norm(module: nn.Module) -> bool:
    """A norm of the backbone (T5's own class or torch's)."""
    return type(module).__name__ == "T5LayerNorm" or isinstance(module, nn.LayerNorm | torch.nn.RMSNorm)
