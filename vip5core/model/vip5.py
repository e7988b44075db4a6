"""VIP5: a T5 that reads prompts with pictures.

Shape letters: B prompts, L source tokens, T target tokens, M pictures, n image tokens per picture, D model width,
V vocabulary.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from vip5core.model.adapters import ActiveTask
from vip5core.model.mapping import MappingNetwork
from vip5core.prompts import Batch

WHOLE_WORDS = 1024  # as many words as a prompt can have tokens
CATEGORIES = 2  # text, image


def draw_extra_embeddings(d_model: int) -> dict[str, Tensor]:
    """Whole-word and category embeddings at N(0, 1), where the official code leaves them."""
    return {
        "whole_word_embeddings.weight": torch.randn(WHOLE_WORDS, d_model),
        "category_embeddings.weight": torch.randn(CATEGORIES, d_model),
    }


class VIP5(nn.Module):
    """An unmodified T5 backbone, fed with embeddings that we build.

    Input embedding = token embedding, with the mapped image tokens where a picture stands, + whole-word embedding
    + category embedding (text or image).

    Args:
        backbone: any T5, adapters already in place.
        mapping: the mapping network; None for a text-only model.
        features: CLIP feature per item, row 0 unused. Shape: [items + 1, feature width]. None for text-only.
        active_task: the switch of per-task adapters, if there are any.
    """

    features: Tensor | None

    def __init__(
        self,
        backbone: T5ForConditionalGeneration,
        mapping: MappingNetwork | None = None,
        features: Tensor | None = None,
        active_task: ActiveTask | None = None,
    ) -> None:
        super().__init__()
        d_model = backbone.config.d_model
        self.backbone = backbone
        self.mapping = mapping
        self.whole_word_embeddings = nn.Embedding(WHOLE_WORDS, d_model)
        self.category_embeddings = nn.Embedding(CATEGORIES, d_model)
        self.register_buffer("features", features, persistent=False)
        self._active_task = active_task

    @property
    def device(self) -> torch.device:
        return self.whole_word_embeddings.weight.device

    def adapters_of(self, task: str) -> AbstractContextManager[None]:
        """Within this context the adapters of `task` work; with shared adapters it changes nothing."""
        return self._active_task.set(task) if self._active_task is not None else nullcontext()

    def embed(self, batch: Batch) -> Tensor:
        """The encoder's input. Shape: [B, L, D]."""
        embedded = self.backbone.get_input_embeddings()(batch.input_ids)  # [B, L, D]
        if self.mapping is not None and len(batch.image_items):
            assert self.features is not None, "image tokens need features"
            image_tokens = self.mapping(self.features[batch.image_items])  # [M, n, D]
            embedded = (
                embedded.flatten(0, 1)
                .index_copy(  # [B * L, D]
                    0, batch.image_positions.flatten(), image_tokens.flatten(0, 1).to(embedded.dtype)
                )
                .view_as(embedded)
            )
        return (
            embedded + self.whole_word_embeddings(batch.whole_word_ids) + self.category_embeddings(batch.category_ids)
        )

    def encode(self, batch: Batch) -> Tensor:
        """Encoder states after the final norm; padding rows hold nothing of use. Shape: [B, L, D]."""
        with self.adapters_of(batch.task):
            return self.backbone.encoder(
                inputs_embeds=self.embed(batch), attention_mask=batch.attention_mask
            ).last_hidden_state

    def decode(self, batch: Batch, states: Tensor) -> Tensor:
        """Teacher-forced logits for the batch's labels, given its encoder states. Shape: [B, T, V]."""
        with self.adapters_of(batch.task):
            return self.backbone(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=batch.attention_mask,
                decoder_input_ids=self.backbone._shift_right(batch.labels),
                use_cache=False,
            ).logits

    def forward(self, batch: Batch) -> Tensor:
        """Teacher-forced logits for the batch's labels. Shape: [B, T, V]."""
        return self.decode(batch, self.encode(batch))

    def trainable_state(self) -> dict[str, Tensor]:
        """The parameters that train, by name: what a checkpoint holds."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}
