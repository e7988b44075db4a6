"""Checkpoints as the official code saves them, from its golden weights."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5Tokenizer

from support.golden import load_golden
from vip5core.prompts import PLACEHOLDER


def official_state(variant: str = "base") -> dict[str, Tensor]:
    """The state dict of an official model, with every name of its tied and shared tensors."""
    return dict(_read(variant))


@functools.cache
def _read(variant: str) -> dict[str, Tensor]:
    golden = load_golden(variant)
    state = golden.state()
    return {**state, **{name: state[same] for name, same in json.loads(str(golden.arrays["meta/aliases"])).items()}}


def p5_state() -> dict[str, Tensor]:
    """The state dict of an official P5: no adapters, images or categories, and half as many whole words."""
    state = {n: t for n, t in official_state("no_adapter").items() if "visual" not in n and "category" not in n}
    return {**state, "encoder.whole_word_embeddings.weight": state["encoder.whole_word_embeddings.weight"][:512]}


def few_pieces() -> PreTrainedTokenizerBase:
    """A tokenizer of a T5 with fewer pieces than the golden models have embeddings."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -1.0) for word in "abcdef")]
    return T5Tokenizer(vocab=[*pieces, (PLACEHOLDER, 0.0)], extra_ids=1)


def write_checkpoint(
    folder: Path, state: dict[str, Tensor], tokenizer: PreTrainedTokenizerBase | None = None, name: str = "BEST.pth"
) -> Path:
    """A state dict as the official code saves it, with a tokenizer beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / name)
    (tokenizer or few_pieces()).save_pretrained(folder)
    return folder / name
