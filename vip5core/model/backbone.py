"""Backbones: a T5 with its tokenizer, read from a folder or built in.

A backbone is a folder as `transformers` saves one; `vip5core.backbones` finds it. The built-in ones start from random
weights, with a tokenizer made from the dataset's words; the P5 stage (`vip5core.trial.p5_stage`) teaches them the
language of the prompts. The embeddings that they learn outside the T5 (of whole words, categories, and tokens of item
ids) are stored beside it, as are the adapters and the mapping network of an official VIP5 (`vip5core.official`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5Config, T5ForConditionalGeneration

from vip5core.errors import UserError, first_line
from vip5core.prompts import load_tokenizer
from vip5core.storage import atomic_folder
from vip5core.vocabulary import BUILT_IN

_EXTRA, _ADAPTERS = "extra_embeddings.safetensors", "adapters.safetensors"


@dataclass
class Backbone:
    """A loaded backbone.

    Attributes:
        model: The T5.
        tokenizer: The tokenizer of the T5.
        extra_embeddings: Trained whole-word and category embeddings, and those of the tokens of item ids if these are
            tokens of their own; None if the backbone has none.
        adapters: Trained adapters and mapping network, from which those of a trial can start; None if it has none.
    """

    model: T5ForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    extra_embeddings: dict[str, Tensor] | None
    adapters: dict[str, Tensor] | None = None


def built_in_config(name: str, vocabulary: int, dropout: float = 0.0) -> T5Config:
    """The configuration of a built-in backbone: a T5 that learns prompts from scratch in minutes on two CPU cores.

    It has one encoder and one decoder layer: with two, as many steps take 1.5 times as long and learn less.
    """
    sizes: dict[str, Any] = dict(BUILT_IN[name])
    config = T5Config(vocab_size=vocabulary, num_layers=1, dropout_rate=dropout, **sizes)
    config.decoder_start_token_id = 0
    return config


def load_backbone(folder: Path, dropout: float = 0.0) -> Backbone:
    """Read a backbone folder.

    Raises:
        UserError: if there is no T5 in it.
    """
    try:
        loaded: Any = T5ForConditionalGeneration.from_pretrained(
            folder, dropout_rate=dropout, dtype=torch.float32, output_loading_info=True
        )
        model, loading = loaded
        if loading["missing_keys"]:  # another model's weights: transformers would continue with random ones
            raise ValueError(f"its weights lack {min(loading['missing_keys'])}")
        extra, adapters = (
            load_file(folder / name) if (folder / name).is_file() else None for name in (_EXTRA, _ADAPTERS)
        )
    except Exception as error:
        raise UserError(
            f"no T5 can be read from {str(folder)!r} ({first_line(error)}): give the folder of a saved T5"
        ) from None
    return Backbone(model, load_tokenizer(folder), extra, adapters)


def save_backbone(backbone: Backbone, folder: Path, texts: Mapping[str, str] | None = None) -> Path:
    """Write a backbone folder, completely or not at all.

    Args:
        backbone: The backbone.
        folder: The folder.
        texts: The contents of further files, by name.
    """
    with atomic_folder(folder) as aside:
        backbone.model.save_pretrained(aside)
        backbone.tokenizer.save_pretrained(aside)
        for name, tensors in ((_EXTRA, backbone.extra_embeddings), (_ADAPTERS, backbone.adapters)):
            if tensors is not None:
                save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, aside / name)
        for name, text in (texts or {}).items():
            (aside / name).write_text(text, "utf-8")
    return folder
