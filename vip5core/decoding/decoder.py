"""One decoder step at a time, for many beams per user.

The backbone's own modules are used, adapters and LoRA included, but not its generation loop: that repeats a user's
encoder states for each beam, whereas here all beams share them, as query positions of one attention.

Shape letters: B users, K beams, S source tokens, H heads, d head width, D model width, t target position, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Block, T5LayerCrossAttention, T5LayerFF, T5LayerSelfAttention

from vip5core.t5 import attend, head_scale, hide_padding, norm, pad_together, position_bias, project

#: The number of rows of logits computed at a time when only a few entries of each are needed: enough for an efficient
#: matrix product, few enough to hold (256 × 32,128 floats are 33 MB).
_ROWS_AT_A_TIME = 256

#: The positions for which the bias is computed at first: an item's tokens fit, and most explanations.
_POSITIONS = 32

#: After how many steps a search looks which users and beams it can drop. On a GPU, looking makes the CPU wait for it,
#: which takes longer than a few steps with beams that are finished.
STEPS_PER_LOOK = {"cpu": 1, "cuda": 8}

_Layers = tuple[T5LayerSelfAttention, T5LayerCrossAttention, T5LayerFF]


@dataclass
class _LayerCache:
    """Keys and values of a decoder layer: those of the encoder states, which are fixed, and of the tokens so far."""

    cross_keys: Tensor  # [B, H, S, d]
    cross_values: Tensor  # [B, H, S, d]
    keys: Tensor | None = None  # [B, K, H, t, d]
    values: Tensor | None = None  # [B, K, H, t, d]


class StepDecoder:
    """The decoder of a T5, one position per call.

    Args:
        backbone: The T5, used in inference mode.
        states: The encoder states after the final norm, batch after batch, as `VIP5.encode` gives them. Shape: [N, D].
        masks: 1 at the source tokens of each batch, 0 at padding. Shape of each: [users of the batch, its longest].
    """

    def __init__(self, backbone: T5ForConditionalGeneration, states: Tensor, masks: Sequence[Tensor]) -> None:
        self.backbone = backbone
        self.layers = [cast(_Layers, tuple(cast(T5Block, block).layer)) for block in backbone.decoder.block]
        config = backbone.config
        # By its types the configuration may have none or several of these; a T5 has one of each.
        self.start_id = cast(int, config.decoder_start_token_id)
        self.eos_id, self.pad_id = cast(int, config.eos_token_id), cast(int, config.pad_token_id)
        self.heads = config.num_heads
        self.scale = head_scale(backbone)
        shapes = [mask.shape for mask in masks]
        mask = pad_together(torch.cat([mask.flatten() for mask in masks]), shapes)
        self.mask = hide_padding(mask)  # [B, 1, 1, S]
        self.users, self.device = len(mask), mask.device
        self.caches = []
        for _, layer, _ in self.layers:
            both = pad_together(project(states, layer.EncDecAttention.k, layer.EncDecAttention.v), shapes)
            keys, values = both.view(*mask.shape, 2, self.heads, -1).transpose(1, 3).unbind(2)
            self.caches.append(_LayerCache(keys, values))
        self.bias = position_bias(backbone.decoder, _POSITIONS)  # [1, H, positions, positions]
        self.position = 0

    def step(self, tokens: Tensor) -> Tensor:
        """Read one more token on every beam.

        Args:
            tokens: The next token of each beam. Shape: [B, K].

        Returns:
            The decoder states after the final norm, scaled for the output head. Shape: [B, K, D].
        """
        if self.position == self.bias.shape[2]:
            self.bias = position_bias(self.backbone.decoder, 2 * self.position)
        bias = self.bias[:, :, self.position : self.position + 1, : self.position + 1]  # the same for every layer
        x = self.backbone.decoder.embed_tokens(tokens)  # [B, K, D]
        for (self_attention, cross_attention, feed_forward), cache in zip(self.layers, self.caches, strict=True):
            x = x + self._self_attention(self_attention, cache, x, bias)
            x = x + self._cross_attention(cross_attention, cache, x)
            x = x + feed_forward.DenseReluDense(norm(feed_forward.layer_norm, x))
        self.position += 1
        return norm(self.backbone.decoder.final_layer_norm, x) * self.scale

    def _self_attention(self, layer: T5LayerSelfAttention, cache: _LayerCache, x: Tensor, bias: Tensor) -> Tensor:
        users, beams, _ = x.shape
        attention = layer.SelfAttention
        projected = project(norm(layer.layer_norm, x), attention.q, attention.k, attention.v)
        query, key, value = projected.view(users, beams, 3, self.heads, 1, -1).unbind(2)  # [B, K, H, 1, d] each
        cache.keys = key if cache.keys is None else torch.cat([cache.keys, key], dim=3)
        cache.values = value if cache.values is None else torch.cat([cache.values, value], dim=3)
        out = attend(
            query.flatten(0, 1), cache.keys.flatten(0, 1), cache.values.flatten(0, 1), bias
        )  # [B * K, H, 1, d]
        return attention.o(out.reshape(users, beams, -1))

    def _cross_attention(self, layer: T5LayerCrossAttention, cache: _LayerCache, x: Tensor) -> Tensor:
        attention = layer.EncDecAttention
        query = attention.q(norm(layer.layer_norm, x))
        query = query.view(*x.shape[:2], self.heads, -1).transpose(1, 2)  # [B, H, K, d]: beams are query positions
        out = attend(query, cache.cross_keys, cache.cross_values, self.mask)
        return attention.o(out.transpose(1, 2).reshape(*x.shape[:2], -1))

    def follow(self, beams: Tensor) -> None:
        """Continue with other beams, which take over the past of the given ones.

        Args:
            beams: The beam that each new one continues. Shape: [B, K'].
        """
        users = torch.arange(len(beams), device=beams.device)[:, None]
        for cache in self.caches:
            assert cache.keys is not None
            assert cache.values is not None
            cache.keys, cache.values = cache.keys[users, beams], cache.values[users, beams]

    def keep(self, users: Tensor) -> None:
        """Continue with these users only. Shape: [B']."""
        self.users = len(users)
        if self.mask is not None:
            self.mask = self.mask[users]
        for cache in self.caches:
            assert cache.keys is not None
            assert cache.values is not None
            cache.cross_keys, cache.cross_values = cache.cross_keys[users], cache.cross_values[users]
            cache.keys, cache.values = cache.keys[users], cache.values[users]

    def logits(self, states: Tensor) -> Tensor:
        """Shape: states [..., D] to [..., V], float32."""
        # Outside autocast: bfloat16 cannot separate logits closer than 0.06, and would rank similar items by chance.
        with torch.autocast(states.device.type, enabled=False):
            return self.backbone.lm_head(states.float())

    def log_probabilities_of(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities of a few tokens under the softmax over the whole vocabulary.

        Args:
            states: The decoder states. Shape: [B, K, D].
            tokens: The tokens in question. Shape: [B, K, C].

        Returns:
            The log-probabilities. Shape: [B, K, C], float32.
        """
        out = torch.empty(tokens.shape, dtype=torch.float32, device=tokens.device).flatten(0, 1)  # [B * K, C]
        rows = states.flatten(0, 1).split(_ROWS_AT_A_TIME)
        wanted = tokens.flatten(0, 1).split(_ROWS_AT_A_TIME)
        start = 0
        for part, ids in zip(rows, wanted, strict=True):
            logits = self.logits(part)  # [rows, V]
            out[start : start + len(part)] = torch.log_softmax(logits, 1, out=logits).gather(1, ids)
            start += len(part)
        return out.view(tokens.shape)
