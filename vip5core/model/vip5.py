"""VIP5: a T5 that reads prompts with images.

Several batches are read at once: see `vip5core.t5`.

Shape letters: B prompts, L source tokens, T target tokens, M images, n image tokens per image, D model width,
V vocabulary, N source tokens of all batches, C target tokens of all batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from vip5core.model.adapters import ActiveTask
from vip5core.model.mapping import MappingNetwork
from vip5core.prompts import Batch
from vip5core.t5 import head_scale, run_decoder, run_encoder

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

    def embed(self, batches: Sequence[Batch]) -> Tensor:
        """The encoder's input, batch after batch. Shape: [N, D]."""
        tokens, words, categories = (
            torch.cat([getattr(batch, name).flatten() for batch in batches])
            for name in ("input_ids", "whole_word_ids", "category_ids")
        )
        embedded = self.backbone.get_input_embeddings()(tokens)
        items = torch.cat([batch.image_items for batch in batches])
        if self.mapping is not None and len(items):
            assert self.features is not None, "image tokens need features"
            image_tokens = self.mapping(self.features[items])  # [M, n, D]
            positions, start = [], 0
            for batch in batches:
                positions.append(batch.image_positions.flatten() + start)
                start += batch.input_ids.numel()
            embedded = embedded.index_copy(0, torch.cat(positions), image_tokens.flatten(0, 1).to(embedded.dtype))
        return embedded + self.whole_word_embeddings(words) + self.category_embeddings(categories)

    def encode(self, batches: Sequence[Batch]) -> Tensor:
        """The encoder states after the final norm, batch after batch, meaningless at padding. Shape: [N, D].

        Per-task adapters are those of the first batch's task: the batches need to be of one.
        """
        with self.adapters_of(batches[0].task):
            return run_encoder(self.backbone.encoder, self.embed(batches), [batch.attention_mask for batch in batches])

    def decode(self, batches: Sequence[Batch], states: Tensor) -> Tensor:
        """The teacher-forced logits of the batches' target tokens, given their encoder states.

        Returns:
            The logits of the tokens of each prompt, prompt after prompt, without padding. Shape: [C, V].
        """
        chosen, start = [], 0
        for batch in batches:
            chosen.append(batch.target_positions + start)
            start += batch.labels.numel()
        with self.adapters_of(batches[0].task):
            decoded = run_decoder(
                self.backbone.decoder,
                [self.backbone._shift_right(batch.labels) for batch in batches],
                states,
                [batch.attention_mask for batch in batches],
                torch.cat(chosen),
            )
            return self.backbone.lm_head(decoded * head_scale(self.backbone))

    def forward(self, batches: Sequence[Batch]) -> Tensor:
        """The teacher-forced logits of the batches' target tokens; see `decode`. Shape: [C, V]."""
        return self.decode(batches, self.encode(batches))

    def trainable_state(self) -> dict[str, Tensor]:
        """The trainable parameters by name, which is what a checkpoint holds."""
        return {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}
