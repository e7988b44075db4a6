"""The operations of a T5 layer, for CPUs: PyTorch's own take two to four times as long there, mostly on memory traffic.

Each has a plain form, which is used on a GPU and under autocast, and one for float32 on a CPU that passes over large
tensors as few times as possible. Both compute the same; with dropout they draw other random numbers.

Shape letters: N tokens, D model width, B prompts, H heads, Q queries, K keys, d head width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

#: One 64-bit random number decides on four entries, so that rates are rounded to 1/65,536.
_LEVELS = 1 << 16
_LANES = 4


def _on_cpu(*tensors: Tensor) -> bool:
    return all(x.device.type == "cpu" and x.dtype == torch.float32 for x in tensors)


def _draw_kept(shape: torch.Size, rate: float) -> tuple[Tensor, float]:
    """Which entries dropout keeps, as bools, and the factor of those kept."""
    dropped = round(rate * _LEVELS)
    seed = int(torch.randint(1 << 62, ()))  # from torch's own generator, so that torch.manual_seed holds here too
    words = np.random.SFC64(seed).random_raw(-(-shape.numel() // _LANES))
    lanes = words.view(np.int16)[: shape.numel()]
    return torch.from_numpy(lanes >= dropped - _LEVELS // 2).view(shape), _LEVELS / (_LEVELS - dropped)


def _times(x: Tensor, kept: Tensor) -> Tensor:
    """x * kept, for bools; PyTorch takes twice as long as NumPy."""
    return torch.from_numpy(np.multiply(x.numpy(), kept.numpy()))


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        kept, ctx.scale = _draw_kept(x.shape, rate)
        ctx.save_for_backward(kept)
        return _times(x, kept).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return _times(gradients[0], kept).mul_(ctx.scale), None


def dropout(x: Tensor, rate: float) -> Tensor:
    """Set entries to zero at random, and scale up the others to compensate."""
    if not rate:
        return x
    return _Dropout.apply(x, rate) if _on_cpu(x) else F.dropout(x, rate)


class _AddDropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, update: Tensor, rate: float) -> Tensor:
        kept, ctx.scale = _draw_kept(update.shape, rate)
        ctx.save_for_backward(kept)
        out = _times(update, kept)
        return torch.add(x, out, alpha=ctx.scale, out=out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (kept,) = ctx.saved_tensors
        return gradients[0], _times(gradients[0], kept).mul_(ctx.scale), None


def add_dropped(x: Tensor, update: Tensor, rate: float) -> Tensor:
    """x + dropout(update)."""
    if rate and _on_cpu(x, update):
        return _AddDropped.apply(x, update, rate)
    return x + dropout(update, rate)


class _ReluDropped(torch.autograd.Function):
    """Keeps its output alone: where that is zero, the gradient is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        kept, ctx.scale = _draw_kept(x.shape, rate)
        out = _times(x, kept).clamp_min_(0).mul_(ctx.scale)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], out, 0).mul_(ctx.scale), None


def relu_dropped(x: Tensor, rate: float) -> Tensor:
    """dropout(relu(x))."""
    if rate and _on_cpu(x):
        return _ReluDropped.apply(x, rate)
    return dropout(F.relu(x), rate)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = norms.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()  # [N, 1]
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, inverse = ctx.saved_tensors
        (gradient,) = gradients
        product = gradient * x
        of_weight = (inverse.T @ product).squeeze(0) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, of_weight, None
        along = (product @ weight)[:, None].mul_(inverse.pow(3)).div_(-x.shape[-1])  # [N, 1]
        of_x = torch.mul(gradient, weight, out=product).mul_(inverse).addcmul_(x, along)
        return of_x, of_weight, None


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """T5's norm: without mean and bias, in float32. Shape: [N, D], unchanged."""
    if _on_cpu(x, weight):
        return _RmsNorm.apply(x, weight, epsilon)
    inverse = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + epsilon)
    return weight * (x * inverse).to(weight.dtype)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor, rate: float) -> Tensor:
        prompts, heads, queries, _ = query.shape
        q, k, v = (x.reshape(prompts * heads, *x.shape[2:]) for x in (query, key, value))
        weights = q.new_empty(len(q), queries, k.shape[1])
        weights.view(prompts, heads, *weights.shape[1:]).copy_(bias)
        weights.baddbmm_(q, k.transpose(1, 2))
        torch.softmax(weights, -1, out=weights)
        ctx.shape, ctx.bias_shape, ctx.scale = query.shape, bias.shape, 1.0
        if rate:
            kept, ctx.scale = _draw_kept(weights.shape, rate)
            out = torch.bmm(_times(weights, kept), v).mul_(ctx.scale)
        else:
            kept, out = None, torch.bmm(weights, v)
        ctx.save_for_backward(q, k, v, weights, kept, out)
        return out.view(*ctx.shape[:3], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, kept, out = ctx.saved_tensors
        gradient = gradients[0].reshape(out.shape)
        along = (gradient * out).sum(-1, keepdim=True)  # what softmax's gradient subtracts
        if kept is not None:
            gradient = gradient * ctx.scale
        dropped = weights if kept is None else _times(weights, kept)
        of_v = torch.bmm(dropped.transpose(1, 2), gradient)
        of_scores = torch.bmm(gradient, v.transpose(1, 2)).mul_(dropped).addcmul_(weights, along, value=-1)
        of_q, of_k = torch.bmm(of_scores, k), torch.bmm(of_scores.transpose(1, 2), q)
        of_bias = None
        if ctx.needs_input_grad[3]:
            of_bias = of_scores.view(*ctx.shape[:2], *of_scores.shape[1:]).sum_to_size(ctx.bias_shape)
        in_heads = [x.view(*ctx.shape[:2], *x.shape[1:]) for x in (of_q, of_k, of_v)]
        return *in_heads, of_bias, None


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, rate: float = 0.0) -> Tensor:
    """softmax(query · keyᵀ + bias), dropped out, times value; T5 does not scale the products.

    Args:
        query: The queries. Shape: [B, H, Q, d].
        key: The keys. Shape: [B, H, K, d].
        value: The values. Shape: [B, H, K, d].
        bias: Added to the products; None for nothing. Shape: [B or 1, H or 1, Q or 1, K].
        rate: The dropout rate of the weights.

    Returns:
        Shape: [B, H, Q, d].
    """
    trained = bias is not None and bias.requires_grad and torch.is_grad_enabled()
    if (rate or trained) and _on_cpu(query):  # PyTorch's fused attention does neither on a CPU
        bias = query.new_zeros(1, 1, 1, 1) if bias is None else bias
        return _Attention.apply(query, key, value, bias, rate)
    if bias is not None:
        bias = bias.to(query.dtype).expand(len(query), query.shape[1], query.shape[2], -1)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=rate, scale=1.0)
