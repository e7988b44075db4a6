"""Tuning methods: which parameters are trained when the backbone is adapted to multimodal prompts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn
from transformers import T5ForConditionalGeneration

from vip5core.config import ModelOptions
from vip5core.model.adapters import ActiveTask, adapter_parameters, add_adapters, is_layer_norm

if TYPE_CHECKING:
    from peft import PeftConfig

Backbone = T5ForConditionalGeneration
Trainable = list[nn.Parameter]


def _adapter(backbone: Backbone, options: ModelOptions) -> tuple[Trainable, ActiveTask | None]:
    """Bottleneck adapters and the layer norms, as in the official code."""
    active = add_adapters(
        backbone,
        d_model=backbone.config.d_model,
        reduction_factor=options.reduction_factor,
        positions=options.adapter_positions,
        tasks=options.adapter_tasks,
        identity_start=options.adapter_start != "paper",
    )
    norms = [p for module in backbone.modules() if is_layer_norm(module) for p in module.parameters()]
    return [*adapter_parameters(backbone), *norms], active


def _full(backbone: Backbone, options: ModelOptions) -> tuple[Trainable, ActiveTask | None]:
    """Every parameter of the backbone."""
    del options
    return list(backbone.parameters()), None


def _frozen(backbone: Backbone, options: ModelOptions) -> tuple[Trainable, ActiveTask | None]:
    """Nothing of the backbone, only the mapping network."""
    del backbone, options
    return [], None


def _peft(backbone: Backbone, config: PeftConfig) -> tuple[Trainable, ActiveTask | None]:
    from peft import inject_adapter_in_model  # late, here and below, because few trials need it

    before = {id(p) for p in backbone.parameters()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inject_adapter_in_model(config, backbone)
    return [p for p in backbone.parameters() if id(p) not in before], None


def _lora(backbone: Backbone, options: ModelOptions) -> tuple[Trainable, ActiveTask | None]:
    """Low-rank updates of the query and value projections (Hu et al., 2021), by peft."""
    from peft import LoraConfig

    rank = options.lora_rank
    return _peft(backbone, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["q", "v"]))


def _ia3(backbone: Backbone, options: ModelOptions) -> tuple[Trainable, ActiveTask | None]:
    """Learned scales of keys, values and feed-forward activations (Liu et al., 2022), by peft."""
    from peft import IA3Config

    del options
    return _peft(backbone, IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"]))


TUNING_METHODS: dict[str, Callable[[Backbone, ModelOptions], tuple[Trainable, ActiveTask | None]]] = {
    "adapter": _adapter,
    "full": _full,
    "frozen": _frozen,
    "lora": _lora,
    "ia3": _ia3,
}


def apply_tuning(backbone: Backbone, options: ModelOptions) -> ActiveTask | None:
    """Freeze the backbone except what `options.tuning` trains, after adding the modules that it needs.

    Returns:
        The switch of per-task adapters, if there are any.

    Raises:
        UserError: for an impossible reduction factor.
    """
    trainable, active = TUNING_METHODS[options.tuning](backbone, options)
    backbone.requires_grad_(False)
    for parameter in trainable:
        parameter.requires_grad_(True)
    return active
