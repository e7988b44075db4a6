"""Build a VIP5 model, and count its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from vip5core.config import ModelOptions
from vip5core.model.inherited import inherit
from vip5core.model.mapping import MappingNetwork
from vip5core.model.tuning import apply_tuning
from vip5core.model.vip5 import VIP5, draw_extra_embeddings


def cast_frozen(model: VIP5) -> None:
    """Keep the frozen weights of the backbone's layers in bfloat16, which autocast would otherwise cast at every use.

    Embeddings and the output head stay as they are: decoding needs logits in float32.
    """
    for stack in (model.backbone.encoder, model.backbone.decoder):
        for module in stack.block.modules():
            if isinstance(module, nn.Linear) and not module.weight.requires_grad:
                module.weight.data = module.weight.data.to(torch.bfloat16)


def build_vip5(
    backbone: T5ForConditionalGeneration,
    options: ModelOptions,
    features: Tensor | None = None,
    extra_embeddings: dict[str, Tensor] | None = None,
    adapters: Mapping[str, Tensor] | None = None,
    placeholder: Tensor | None = None,
) -> VIP5:
    """A VIP5 model on `backbone`, which is changed in place.

    Args:
        backbone: Any T5.
        options: What is added to it, and what is trained.
        features: The CLIP feature of each item, required for image tokens; row 0 is unused.
            Shape: [items + 1, feature width].
        extra_embeddings: Whole-word and category embeddings that belong to the backbone (`Backbone.extra_embeddings`);
            without them both start at N(0, 1).
        adapters: Adapters and mapping network that came with the backbone (`Backbone.adapters`), from which those of
            the model start if `options.adapter_start` says so.
        placeholder: The embedding of the placeholder of image tokens, at which these start if `options.image_start`
            says so. Shape: [D].

    Raises:
        UserError: for an impossible option, or if the options ask for adapters of another size than came with the
            backbone.
    """
    # Drawn first, so that with one seed they are the same whatever is added to the backbone.
    if extra_embeddings is None:
        extra_embeddings = draw_extra_embeddings(backbone.config.d_model)
    active = apply_tuning(backbone, options)
    mapping = None
    if options.image_tokens:
        assert features is not None, "image tokens need features"
        mapping = MappingNetwork(
            feature_width=features.shape[1],
            d_model=backbone.config.d_model,
            image_tokens=options.image_tokens,
            norm=options.mapping_norm,
        )
        if options.image_start == "placeholder":
            assert placeholder is not None, "image tokens need a placeholder to start at"
            mapping.start_at(placeholder)
    model = VIP5(backbone, mapping, features if options.image_tokens else None, active)
    model.load_state_dict(extra_embeddings, strict=False)
    if options.adapter_start == "backbone":
        inherit(model, adapters)
    train_extra = options.extra_embeddings == "trained" or options.tuning == "full"
    for table in (model.whole_word_embeddings, model.category_embeddings):
        table.requires_grad_(train_extra)
    return model


@dataclass(frozen=True)
class ParameterCount:
    """The numbers of parameters of a model; `percent` is the trainable share, as the official code prints it."""

    total: int
    trainable: int

    @property
    def percent(self) -> float:
        return 100.0 * self.trainable / self.total


def count_parameters(model: nn.Module) -> ParameterCount:
    """Count each parameter once, including tied ones."""
    parameters = list(model.parameters())
    return ParameterCount(sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad))
