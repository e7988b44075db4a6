"""Load checkpoints of the official implementation (jeykigung/VIP5) into our model. No trial uses this."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from vip5core.model import VIP5
from vip5core.vocabulary import SHARED

_RENAMED = [
    (r"^encoder\.(whole_word|category)_embeddings\.", r"\1_embeddings."),
    (r"^encoder\.visual_embedding\.feat_embedding\.0\.model\.0\.", "mapping.inner."),
    (r"^encoder\.visual_embedding\.feat_embedding\.0\.model\.2\.", "mapping.outer."),
    (r"^encoder\.visual_embedding\.feat_embedding\.1\.", "mapping.norm."),
    (r"\.attn_adapter\.adapters\.(\w+)\.", r".SelfAttention.o.bank.\1."),
    (r"\.enc_attn_adapter\.adapters\.(\w+)\.", r".EncDecAttention.o.bank.\1."),
    (r"\.ff_adapter\.adapters\.(\w+)\.", r".DenseReluDense.wo.bank.\1."),
    (r"\.down_sampler\.", ".down."),
    (r"\.up_sampler\.", ".up."),
]


def our_name(official: str, model: VIP5) -> str:
    """The name in `model` of a parameter of the official code."""
    name = official
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    if not name.startswith(("mapping.", "whole_word_embeddings.", "category_embeddings.")):
        name = f"backbone.{name}"
    parameters = dict(model.named_parameters())
    if name not in parameters:
        wrapped = name.removesuffix("weight") + "linear.weight"  # an output projection with an adapter around it
        shared = re.sub(r"\.bank\.\w+\.", f".bank.{SHARED}.", name)
        name = next((candidate for candidate in (wrapped, shared) if candidate in parameters), name)
    return name


def load_official(model: VIP5, state: Mapping[str, Tensor]) -> None:
    """Load a state dict of the official model.

    Tied tensors may be given or left out. Its embedding tables have more rows than ours (16 categories, of which two
    occur); the rows beyond ours are dropped.

    Raises:
        KeyError: if a parameter of `model` is not in `state`, or one of `state` not in `model`.
    """
    parameters = dict(model.named_parameters())
    missing = set(parameters)
    with torch.no_grad():
        for official, value in state.items():
            name = our_name(official, model)
            if name not in parameters:
                if official in (
                    "lm_head.weight",
                    "encoder.embed_tokens.weight",
                    "decoder.embed_tokens.weight",
                ):
                    continue  # tied to shared.weight
                raise KeyError(f"official parameter {official!r} has no counterpart {name!r} in the model")
            parameters[name].copy_(value[: len(parameters[name])])
            missing.discard(name)
    if missing:
        raise KeyError(f"the official state lacks {sorted(missing)}")
