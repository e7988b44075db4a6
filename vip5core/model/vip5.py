"""VIP5: a T5 that reads prompts with images.

Shape letters: B prompts, L source tokens, T target tokens, M images, n image tokens per image, D model width,
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
    """Whole-word and category embeddings drawn from N(0, 1), where they stay in the official code."""
    return {
        "whole_word_embeddings.weight": torch.randn(WHOLE_WORDS, d_model),
        "category_embeddings.weight": torch.randn(CATEGORIES, d_model),
    }


class VIP5(nn.Module):
    """An unmodified T5 backbone with input embeddings of our own.

    Input embedding = token embedding (at an image, its mapped image tokens) + whole-word embedding + category embedding
    (text or image).

    Args:
        backbone: Any T5, with its adapters.
        mapping: The mapping network; None for a text-only model.
        features: The CLIP feature of each item; row 0 is unused. Shape: [items + 1, feature width]. None for a
            text-only model.
        active_task: The switch of per-task adapters, if there are any.
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
        """A context in which the adapters of `task` are active; it has no effect on shared adapters."""
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
        """The encoder states after the final norm, meaningless at padding. Shape: [B, L, D]."""
        with self.adapters_of(batch.task):
            return self.backbone.encoder(
                inputs_embeds=self.embed(batch), attention_mask=batch.attention_mask
            ).last_hidden_state

    def decode(self, batch: Batch, states: Tensor) -> Tensor:
        """The teacher-forced logits of the batch's labels, given its encoder states. Shape: [B, T, V]."""
        with self.adapters_of(batch.task):
            return self.backbone(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=batch.attention_mask,
                decoder_input_ids=self.backbone._shift_right(batch.labels),
                use_cache=False,
            ).logits

    def forward(self, batch: Batch) -> Tensor:
        """The teacher-forced logits of the batch's labels. Shape: [B, T, V]."""
        return self.decode(batch, self.encode(batch))

    def trainable_state(self) -> dict[str, Tensor]:
        """The trainable parameters by name, which is what a checkpoint holds."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}
