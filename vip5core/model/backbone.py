"""Backbones: a T5 with its tokenizer, from a folder, from the hub, or built in.

A backbone is a folder as `transformers` saves one. The built-in ones start from random weights, with a tokenizer made
from the dataset's words; the P5 stage (`vip5core.trial.p5_stage`) teaches them the language of the prompts. The
whole-word and category embeddings that they learn outside the T5 are stored beside it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5Config, T5ForConditionalGeneration

from vip5core.errors import UserError, first_line
from vip5core.fingerprint import fingerprint, sha256_file
from vip5core.home import Home
from vip5core.prompts import load_tokenizer
from vip5core.storage import atomic_folder
from vip5core.vocabulary import BUILT_IN

_EXTRA = "extra_embeddings.safetensors"
_NEEDED = ("*.json", "*.safetensors", "spiece.model")


@dataclass
class Backbone:
    """A loaded backbone.

    Attributes:
        model: The T5.
        tokenizer: The tokenizer of the T5.
        extra_embeddings: Trained whole-word and category embeddings; None if the backbone has none.
    """

    model: T5ForConditionalGeneration
    tokenizer: PreTrainedTokenizerBase
    extra_embeddings: dict[str, Tensor] | None


def built_in_config(name: str, vocabulary: int, dropout: float = 0.0) -> T5Config:
    """The configuration of a built-in backbone: a T5 that learns prompts from scratch in minutes on two CPU cores.

    It has one encoder and one decoder layer: with two, as many steps take 1.5 times as long and learn less.
    """
    sizes: dict[str, Any] = dict(BUILT_IN[name])
    config = T5Config(vocab_size=vocabulary, num_layers=1, dropout_rate=dropout, **sizes)
    config.decoder_start_token_id = 0
    return config


def find_backbone(name: str, home: Home) -> Path:
    """The folder of a backbone: `name` itself, or downloaded from the hub to `home/backbones/`.

    Raises:
        UserError: if it is neither a folder with a T5 nor available from the hub.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"--backbone {name!r} is a folder without config.json: give the folder of a saved T5")
        return folder.resolve()
    target = home.downloaded_backbone(name)
    if not target.is_dir():
        try:
            with atomic_folder(target) as aside:
                snapshot_download(name, local_dir=aside, allow_patterns=list(_NEEDED))
                if not (aside / "config.json").is_file():
                    raise FileNotFoundError("no config.json")
        except Exception as error:
            raise UserError(
                f"--backbone {name!r} is not a folder and cannot be downloaded from the hub ({first_line(error)}): "
                f"give the folder of a saved T5, or one of the built-in backbones: {', '.join(BUILT_IN)}"
            ) from None
    return target


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
        extra = load_file(folder / _EXTRA) if (folder / _EXTRA).is_file() else None
    except Exception as error:
        raise UserError(
            f"no T5 can be read from {str(folder)!r} ({first_line(error)}): give the folder of a saved T5"
        ) from None
    return Backbone(model, load_tokenizer(folder), extra)


def save_backbone(backbone: Backbone, folder: Path) -> Path:
    """Write a backbone folder, completely or not at all."""
    with atomic_folder(folder) as aside:
        backbone.model.save_pretrained(aside)
        backbone.tokenizer.save_pretrained(aside)
        if backbone.extra_embeddings is not None:
            save_file({name: t.contiguous() for name, t in backbone.extra_embeddings.items()}, aside / _EXTRA)
    return folder


def backbone_fingerprint(folder: Path) -> str:
    """The identity of a backbone: its weights, configuration and tokenizer."""
    files = sorted(path for pattern in (*_NEEDED, "*.bin") for path in folder.glob(pattern))
    return _hash_files(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@functools.lru_cache(maxsize=4)
def _hash_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    """The fingerprint of files, of which all bytes are read: once per process, unless a file changes."""
    return fingerprint([[path.name, sha256_file(path)] for path, _, _ in files])
