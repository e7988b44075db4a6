"""From the tensors of an official P5 or VIP5 to a backbone of ours, with what its adapters and mapping network were.

A state dict has no configuration: sizes are those of its tensors. That the file is complete and consistent is found by
comparing it with a model of these sizes, which takes no memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from vip5core.errors import UserError
from vip5core.model import (
    CATEGORIES,
    WHOLE_WORDS,
    build_vip5,
    draw_extra_embeddings,
    feature_width,
    fitting_options,
    is_adapter_or_mapping,
)
from vip5core.official.names import official_name, our_name
from vip5core.vocabulary import SHARED, TASKS

#: Always the same table as `shared.weight`.
_TIED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
#: Left in checkpoints by an early version of transformers; no T5 reads it.
_UNUSED = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)

_WORDS, _CATEGORIES = "whole_word_embeddings.weight", "category_embeddings.weight"
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class OfficialModel:
    """An official model by our names.

    Attributes:
        config: The sizes of its T5.
        t5: The parameters of the T5, by their names in a `T5ForConditionalGeneration`.
        extra_embeddings: Whole-word and category embeddings; None if it is a T5 that has none.
        adapters: Adapters and mapping network, by their names in a `VIP5`; empty for a P5. Adapters of several tasks
            that are all the same have become one, which serves all tasks.
    """

    config: T5Config
    t5: Tensors
    extra_embeddings: Tensors | None
    adapters: Tensors

    def build_t5(self) -> T5ForConditionalGeneration:
        """The T5 with its weights."""
        with torch.device("meta"):
            model = T5ForConditionalGeneration(self.config)
        model.load_state_dict(self.t5, strict=False, assign=True)  # strict would ask for tied tensors by each name
        model.tie_weights()
        return model


def convert(state: Mapping[str, Tensor], source: str) -> OfficialModel:
    """Read a state dict of an official P5 or VIP5, or of a plain T5.

    Args:
        state: The tensors by the names of the official code. Tied tensors may be given or left out.
        source: The file they are from, for messages.

    Raises:
        UserError: if a tensor is missing, is unknown or has another shape than the others need; it names one.
    """
    # Copies, for tensors of a file may share memory, which the format of backbone folders does not allow.
    ours = {our_name(name): value.to(torch.float32, copy=True) for name, value in _untie(state, source).items()}
    t5 = {n.removeprefix("backbone."): t for n, t in ours.items() if n.startswith("backbone.") and ".bank." not in n}
    adapters = _join_equal_tasks({name: value for name, value in ours.items() if is_adapter_or_mapping(name)}, source)
    config = _config(t5, source)
    with torch.device("meta"):
        model = T5ForConditionalGeneration(config)
        _compare(model, t5, source)
        if adapters:
            options = fitting_options(adapters, config.d_model, source)
            built = build_vip5(model, options, torch.zeros(1, feature_width(adapters)))
            added = {name: p for name, p in built.named_parameters() if is_adapter_or_mapping(name)}
            _compare(added, adapters, source)
    tables = {name: table for name, table in ours.items() if name in (_WORDS, _CATEGORIES)}
    return OfficialModel(config, t5, _extra_embeddings(tables, config.d_model, source), adapters)


def _untie(state: Mapping[str, Tensor], source: str) -> Tensors:
    """The state without tied and unused tensors."""
    shared = state.get("shared.weight")
    if shared is None:
        raise UserError(f"{source!r} lacks the tensor 'shared.weight': it is no P5, VIP5 or other T5")
    for name in _TIED:
        if name in state and not torch.equal(state[name], shared):
            raise UserError(
                f"{source!r}: {name!r} differs from 'shared.weight', but P5 and VIP5 have one table for both"
            )
    return {name: value for name, value in state.items() if name not in (*_TIED, *_UNUSED)}


def _config(t5: Tensors, source: str) -> T5Config:
    """The configuration of a T5 with tensors of these shapes."""

    def size(name: str, dimension: int) -> int:
        if name not in t5:
            raise UserError(f"{source!r} lacks the tensor {name!r}")
        shape = t5[name].shape
        if len(shape) != 2 or not shape.numel():
            raise UserError(f"{source!r}: {name!r} has the shape {tuple(shape)}, which is no matrix")
        return shape[dimension]

    def layers(stack: str) -> int:
        return len({found[0] for name in t5 if (found := re.match(rf"{stack}\.block\.\d+\.", name))})

    gated = any(name.endswith(".wi_0.weight") for name in t5)
    attention = "encoder.block.0.layer.0.SelfAttention"
    heads = size(f"{attention}.relative_attention_bias.weight", 1)
    config = T5Config(
        vocab_size=size("shared.weight", 0),
        d_model=size("shared.weight", 1),
        d_kv=size(f"{attention}.q.weight", 0) // heads,
        d_ff=size(f"encoder.block.0.layer.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight", 0),
        num_layers=layers("encoder"),
        num_decoder_layers=layers("decoder"),
        num_heads=heads,
        relative_attention_num_buckets=size(f"{attention}.relative_attention_bias.weight", 0),
        feed_forward_proj="gated-gelu" if gated else "relu",
    )
    config.decoder_start_token_id = 0
    return config


def _join_equal_tasks(adapters: Tensors, source: str) -> Tensors:
    """One adapter for all tasks where those of the tasks are the same, as the official code saves a shared one."""

    def task_of(name: str) -> str:
        return name.split(".bank.")[1].split(".")[0] if ".bank." in name else SHARED

    def renamed(name: str, task: str) -> str:
        return name.replace(f".bank.{task_of(name)}.", f".bank.{task}.")

    for name in adapters:
        if task_of(name) not in (*TASKS, SHARED):
            raise _unknown(name, source)
    joined = {renamed(name, SHARED): value for name, value in adapters.items()}
    same = all(torch.equal(value, joined[renamed(name, SHARED)]) for name, value in adapters.items())
    return joined if same else adapters


def _compare(model: torch.nn.Module | Mapping[str, Tensor], given: Tensors, source: str) -> None:
    """Raise a `UserError` unless `given` has the parameters of a model, in their shapes."""
    expected = dict(model.named_parameters()) if isinstance(model, torch.nn.Module) else model
    for name in expected:
        if name not in given:
            raise UserError(f"{source!r} lacks the tensor {official_name(name)!r}")
    for name, value in given.items():
        if name not in expected:
            raise _unknown(name, source)
        if value.shape != expected[name].shape:
            raise UserError(
                f"{source!r}: {official_name(name)!r} has the shape {tuple(value.shape)}, "
                f"but the sizes of its other tensors need {tuple(expected[name].shape)}"
            )


def _unknown(name: str, source: str) -> UserError:
    return UserError(f"{source!r} has a tensor that no P5 or VIP5 has, {official_name(name)!r}")


def _extra_embeddings(tables: Tensors, d_model: int, source: str) -> Tensors | None:
    """Whole-word and category embeddings with as many rows as ours.

    VIP5 has 16 categories, of which two occur. P5 has no categories, so none is added to its tokens, and 512 whole
    words, half of ours: the rest is drawn as it starts in the official code, always the same.
    """
    if not tables:
        return None
    if _WORDS not in tables:
        raise UserError(f"{source!r} lacks the tensor {official_name(_WORDS)!r}")
    for name, table in tables.items():
        least = CATEGORIES if name == _CATEGORIES else 1
        if table.dim() != 2 or table.shape[1] != d_model or len(table) < least:
            raise UserError(
                f"{source!r}: {official_name(name)!r} has the shape {tuple(table.shape)}, "
                f"but the sizes of its other tensors need ({least} or more, {d_model})"
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = draw_extra_embeddings(d_model)[_WORDS]
    words = tables[_WORDS][:WHOLE_WORDS]
    categories = tables.get(_CATEGORIES, torch.zeros(CATEGORIES, d_model))
    return {_WORDS: torch.cat([words, drawn[len(words) :]]), _CATEGORIES: categories[:CATEGORIES].clone()}
