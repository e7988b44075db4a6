"""Dropout that is four times as fast on a CPU as PyTorch's own, which takes a third of a training step there.

One 64-bit random number decides on four entries, so rates are rounded to 1/65,536. On a GPU PyTorch's own is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_LEVELS = 1 << 16
_ATTENTION = "sdpa_with_fast_dropout"


class _Drop(torch.autograd.Function):
    """Stores one bit per entry for the backward pass, in a byte."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        dropped = round(rate * _LEVELS)
        seed = int(torch.randint(1 << 62, ()))  # from torch's own generator, so that torch.manual_seed holds here too
        words = np.random.SFC64(seed).random_raw(-(-x.numel() // 4))
        lanes = torch.from_numpy(words.view(np.int16)[: x.numel()]).view(x.shape)
        keep = lanes >= dropped - _LEVELS // 2
        ctx.save_for_backward(keep)
        ctx.scale = _LEVELS / (_LEVELS - dropped)
        return (x * keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return (gradients[0] * keep).mul_(ctx.scale), None


def dropout(x: Tensor, rate: float) -> Tensor:
    """Set entries to zero at random, and scale up the others to compensate."""
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    return _Drop.apply(x, rate)


class FastDropout(nn.Dropout):
    """`nn.Dropout` that uses the fast `dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape: any, unchanged."""
        return dropout(x, self.p) if self.training and self.p else x


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """The attention of a T5 in training on a CPU; anything else goes to transformers' own `sdpa`.

    Args:
        module: The attention module.
        query: The queries. Shape: [B, H, queries, d].
        key: The keys. Shape: [B, H, keys, d].
        value: The values. Shape: [B, H, keys, d].
        attention_mask: True where a query may attend. Shape: [B, 1, queries, keys]. None allows every position, unless
            `module` is causal.
        dropout: The dropout rate.
        scaling: The factor of the scores; None for 1 / sqrt(d).
        position_bias: The bias of the scores. Shape: [1 or B, H, queries, keys].
        **kwargs: Further arguments, for transformers' `sdpa`.

    Returns:
        The output, of shape [B, queries, H, d], and None in place of the attention weights.
    """
    hidden_future = attention_mask is None and getattr(module, "is_causal", False)
    if not dropout or query.device.type != "cpu" or position_bias is None or hidden_future:
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            position_bias=position_bias,
            **kwargs,
        )
    users, heads, queries, _ = query.shape
    bias = position_bias.expand(users, -1, queries, -1).flatten(0, 1)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.baddbmm(bias, query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), alpha=scale)
    scores = scores.view(users, heads, queries, -1)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = _Drop.apply(scores.softmax(-1), dropout)
    return (weights @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(_ATTENTION, attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)


def use_fast_dropout(backbone: PreTrainedModel) -> None:
    """Replace every dropout of `backbone` by a fast one."""
    for module in list(backbone.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, FastDropout(child.p))
    backbone.set_attn_implementation(_ATTENTION)
