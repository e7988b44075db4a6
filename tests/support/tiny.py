"""Tiny random models for tests."""

from __future__ import annotations

import functools

import torch
from transformers import T5Config, T5ForConditionalGeneration


@functools.lru_cache(maxsize=8)
def random_backbone(seed: int = 0, vocabulary: int = 40, d_model: int = 16) -> T5ForConditionalGeneration:
    """A two-layer T5 with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=vocabulary,
        d_model=d_model,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
        dropout_rate=0.0,
    )
    return T5ForConditionalGeneration(config).eval()
