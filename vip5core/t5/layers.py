"""The encoder and the decoder of a T5, for several batches at once.

The backbone's own modules are used, adapters and LoRA included, but not its `forward`: what acts on each token runs
once over the tokens of all batches, which lie one after the other, and only attention runs batch by batch. Prompts of
different lengths thus need little padding and few calls. The bias of a batch's attention, with its mask, is computed
once for all layers.

Shape letters: N tokens of all batches, D model width, B prompts of one batch, L its longest prompt, H heads, d head
width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention, T5DenseActDense, T5LayerFF, T5Stack

from vip5core.t5.operations import add_dropped, attend, dropout, relu_dropped, rms_norm

#: A bias that no attention weight survives, for masked positions.
_HIDDEN = torch.finfo(torch.float32).min / 2


def run_encoder(encoder: T5Stack, embedded: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """The encoder states after the final norm.

    Args:
        encoder: The encoder of a T5.
        embedded: The input embeddings of all batches, padding included. Shape: [N, D].
        masks: 1 at the tokens of each batch, 0 at padding. Shape of each: [B, L].

    Returns:
        Meaningless at padding. Shape: [N, D].
    """
    rate = _rate(encoder)
    shapes = [mask.shape for mask in masks]
    biases = _encoder_biases(encoder, masks)
    x = dropout(embedded, rate)
    for block in encoder.block:
        attention, feed_forward = cast(Any, block).layer
        x = add_dropped(x, self_attention(attention, x, shapes, biases, rate), rate)
        x = add_dropped(x, _feed_forward(feed_forward, x, rate), rate)
    return dropout(norm(encoder.final_layer_norm, x), rate)


def run_decoder(
    decoder: T5Stack, tokens: Sequence[Tensor], states: Tensor, masks: Sequence[Tensor], chosen: Tensor | None = None
) -> Tensor:
    """The teacher-forced decoder states after the final norm.

    Args:
        decoder: The decoder of a T5.
        tokens: The tokens that each batch's decoder reads, padded on the right. Shape of each: [B, T].
        states: The encoder states of all batches. Shape: [N, D].
        masks: 1 at the source tokens of each batch, 0 at padding. Shape of each: [B, L].
        chosen: The positions that are wanted, of all those of `tokens`. Shape: [C].

    Returns:
        Shape: [positions or C, D].
    """
    rate = _rate(decoder)
    shapes, sources = [ids.shape for ids in tokens], [mask.shape for mask in masks]
    biases = _decoder_biases(decoder, shapes)
    hidden = [hide_padding(mask) for mask in masks]
    x = dropout(decoder.embed_tokens(torch.cat([ids.flatten() for ids in tokens])), rate)
    for block in decoder.block:
        attention, cross, feed_forward = cast(Any, block).layer
        x = add_dropped(x, self_attention(attention, x, shapes, biases, rate), rate)
        query = cross.EncDecAttention.q(norm(cross.layer_norm, x))
        key_value = project(states, cross.EncDecAttention.k, cross.EncDecAttention.v)
        out = _by_batch(cross.EncDecAttention, query, shapes, key_value, sources, hidden, rate)
        x = add_dropped(x, out, rate)
        x = add_dropped(x, _feed_forward(feed_forward, x, rate), rate)
    if chosen is not None:
        x = x[chosen]
    return dropout(norm(decoder.final_layer_norm, x), rate)


def head_scale(backbone: T5ForConditionalGeneration) -> float:
    """The factor of decoder states before the output head, for a T5 whose head is its token embedding."""
    return backbone.config.d_model**-0.5 if backbone.config.scale_decoder_outputs else 1.0


def norm(module: nn.Module, x: Tensor) -> Tensor:
    """A T5LayerNorm. Shape: [..., D], unchanged."""
    return rms_norm(x.flatten(0, -2), cast(Tensor, module.weight), cast(float, module.variance_epsilon)).view(x.shape)


def project(x: Tensor, *projections: nn.Module) -> Tensor:
    """Several linear maps of one input, side by side, in one product where none of them is wrapped (as by LoRA).

    Shape: [..., D] to [..., number of maps * their width].
    """
    if all(type(each) is nn.Linear for each in projections):
        return F.linear(x, torch.cat([cast(nn.Linear, each).weight for each in projections]))
    return torch.cat([each(x) for each in projections], -1)


def hide_padding(mask: Tensor) -> Tensor | None:
    """The bias that hides padding; None if there is none. Shape: [B, L] to [B, 1, 1, L]."""
    if mask.device.type == "cpu" and bool(mask.all()):  # elsewhere, reading it would make the CPU wait
        return None
    return (1 - mask[:, None, None, :].float()) * _HIDDEN


def pad_together(values: Tensor, shapes: Sequence[torch.Size]) -> Tensor:
    """The values of the tokens of several batches as those of one padded batch, zero at its padding.

    Args:
        values: Batch after batch. Shape: [N, ...].
        shapes: [B, L] of each batch.

    Returns:
        Shape: [prompts of all batches, longest L, ...].
    """
    if len(shapes) == 1:
        return values.view(*shapes[0], *values.shape[1:])
    prompts, longest = sum(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    padded = values.new_zeros(prompts, longest, *values.shape[1:])
    row = 0
    for (count, length), part in zip(shapes, _split(values, shapes), strict=True):
        padded[row : row + count, :length] = part.view(count, length, *part.shape[1:])
        row += count
    return padded


def self_attention(
    layer: nn.Module, x: Tensor, shapes: Sequence[torch.Size], biases: Sequence[Tensor | None], rate: float
) -> Tensor:
    """The update of `x` by a self-attention layer: norm, attention, output projection. Shape: [N, D], unchanged."""
    attention = cast(T5Attention, layer.SelfAttention)
    projected = project(norm(cast(nn.Module, layer.layer_norm), x), attention.q, attention.k, attention.v)
    outputs = []
    for (prompts, length), part, bias in zip(shapes, _split(projected, shapes), biases, strict=True):
        q, k, v = part.view(prompts, length, 3, attention.n_heads, -1).transpose(1, 3).unbind(2)  # [B, H, L, d] each
        outputs.append(attend(q, k, v, bias, rate).transpose(1, 2).reshape(prompts * length, -1))
    return attention.o(_join(outputs))


def _by_batch(
    attention: T5Attention,
    query: Tensor,
    shapes: Sequence[torch.Size],
    key_value: Tensor,
    sources: Sequence[torch.Size],
    hidden: Sequence[Tensor | None],
    rate: float,
) -> Tensor:
    """Attention to the encoder states of each batch. Shape: queries [M, H * d] to [M, D]."""
    outputs = []
    parts = zip(_split(query, shapes), shapes, _split(key_value, sources), sources, hidden, strict=True)
    for q, (prompts, targets), kv, (_, length), bias in parts:
        q = q.view(prompts, targets, attention.n_heads, -1).transpose(1, 2)
        k, v = kv.view(prompts, length, 2, attention.n_heads, -1).transpose(1, 3).unbind(2)
        outputs.append(attend(q, k, v, bias, rate).transpose(1, 2).reshape(prompts * targets, -1))
    return attention.o(_join(outputs))


def _feed_forward(layer: T5LayerFF, x: Tensor, rate: float) -> Tensor:
    """The update of `x` by a feed-forward layer. Shape: [N, D], unchanged."""
    normed, inner = norm(layer.layer_norm, x), layer.DenseReluDense
    if isinstance(inner, T5DenseActDense) and isinstance(inner.act, nn.ReLU):
        return inner.wo(relu_dropped(inner.wi(normed), rate))
    return inner(normed)  # a gated one drops out by itself


def _rate(stack: T5Stack) -> float:
    return stack.config.dropout_rate if stack.training else 0.0


def _split(x: Tensor, shapes: Sequence[torch.Size]) -> Sequence[Tensor]:
    return x.split([shape.numel() for shape in shapes]) if len(shapes) > 1 else (x,)


def _join(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]


def _encoder_biases(encoder: T5Stack, masks: Sequence[Tensor]) -> list[Tensor]:
    """The position bias of each batch, with its mask. Shape of each: [1 or B, H, L, L]."""
    lengths = [mask.shape[1] for mask in masks]
    longest = position_bias(encoder, max(lengths))
    biases = []
    for mask, length in zip(masks, lengths, strict=True):
        bias, hidden = longest[:, :, :length, :length], hide_padding(mask)
        biases.append(bias if hidden is None else bias + hidden)
    return biases


def _decoder_biases(decoder: T5Stack, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """The position bias of each batch, with the future hidden. Shape of each: [1, H, T, T]."""
    longest = position_bias(decoder, max(length for _, length in shapes))
    future = torch.full(longest.shape[2:], _HIDDEN, device=longest.device).triu(1)
    longest = longest + future
    return [longest[:, :, :length, :length] for _, length in shapes]


def position_bias(stack: T5Stack, length: int) -> Tensor:
    """The bias of attention scores by relative position. Shape: [1, H, length, length]."""
    first = cast(T5Attention, cast(Any, stack.block[0]).layer[0].SelfAttention)
    embedding = first.relative_attention_bias
    relative = torch.arange(1 - length, length, device=embedding.weight.device)
    buckets = first._relative_position_bucket(
        relative,
        bidirectional=not first.is_decoder,
        num_buckets=first.relative_attention_num_buckets,
        max_distance=first.relative_attention_max_distance,
    )
    by_distance = embedding(buckets).T.float().contiguous()  # [H, 2 * length - 1]
    # Row i of the result is the window of `by_distance` that begins at distance -i.
    return by_distance.unfold(1, length, 1).flip(1)[None]
