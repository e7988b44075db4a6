"""Tokens of item ids, added to a T5's vocabulary: rows of their own beside its frozen table, always trained.

The T5's table and output head are wrapped, as its projections are by adapters, so that every pass sees the longer
vocabulary while the T5 stays what it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

#: The rows by name, as a backbone keeps them; the second ones only where the output head is a table of its own.
ID_TOKEN_ROWS = (ID_TOKENS, ID_TOKEN_HEADS) = ("id_tokens.weight", "id_token_heads.weight")


class ExtendedEmbedding(nn.Module):
    """A table of token embeddings, continued by rows of its own from token `first` on."""

    def __init__(self, table: nn.Module, rows: nn.Embedding, first: int) -> None:
        super().__init__()
        self.table, self.rows, self.first = table, rows, first

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape: [...] to [..., D]."""
        added = tokens >= self.first
        known = self.table(tokens.masked_fill(added, 0))
        return torch.where(added[..., None], self.rows((tokens - self.first).clamp(min=0)), known)


class ExtendedHead(nn.Module):
    """An output head, continued by rows of its own from token `first` on."""

    def __init__(self, head: nn.Module, rows: nn.Embedding, first: int) -> None:
        super().__init__()
        self.head, self.rows, self.first = head, rows, first

    def forward(self, states: Tensor) -> Tensor:
        """Shape: [..., D] to [..., tokens]."""
        return torch.cat([self.head(states)[..., : self.first], F.linear(states, self.rows.weight)], -1)


def draw_id_tokens(backbone: T5ForConditionalGeneration, count: int, seed: int) -> dict[str, Tensor]:
    """Rows of new tokens, drawn from the normal distribution that has the mean and deviation of the T5's own.

    Args:
        backbone: The T5.
        count: The number of tokens.
        seed: The seed.

    Returns:
        The rows by name. Shape of each: [count, D].
    """
    generator = torch.Generator().manual_seed(seed)
    tables = {ID_TOKENS: backbone.get_input_embeddings().weight, ID_TOKEN_HEADS: backbone.lm_head.weight}
    if _is_tied(backbone):
        del tables[ID_TOKEN_HEADS]
    return {
        name: torch.normal(
            table.detach().mean(0).expand(count, -1), table.detach().std(0).expand(count, -1), generator=generator
        )
        for name, table in tables.items()
    }


def add_id_tokens(backbone: T5ForConditionalGeneration, rows: Mapping[str, Tensor], first: int) -> None:
    """Continue the vocabulary of `backbone`, which is changed in place, with trainable rows.

    Args:
        backbone: The T5.
        rows: The rows by name, as `draw_id_tokens` gives them. Shape of each: [tokens, D].
        first: The id of the first of these tokens, which the T5's own may not reach.
    """
    given = {name: nn.Embedding.from_pretrained(tensor, freeze=False) for name, tensor in rows.items()}
    _set_table(backbone, ExtendedEmbedding(backbone.get_input_embeddings(), given[ID_TOKENS], first))
    backbone.lm_head = ExtendedHead(backbone.lm_head, given.get(ID_TOKEN_HEADS, given[ID_TOKENS]), first)


def remove_id_tokens(backbone: T5ForConditionalGeneration) -> dict[str, Tensor]:
    """Undo `add_id_tokens`; returns the rows by name, of which there are none if nothing was added."""
    head, embedding = backbone.lm_head, backbone.shared
    if not isinstance(head, ExtendedHead) or not isinstance(embedding, ExtendedEmbedding):
        return {}
    _set_table(backbone, embedding.table)
    backbone.lm_head = head.head
    rows = {ID_TOKENS: embedding.rows.weight.detach()}
    return rows if head.rows is embedding.rows else {**rows, ID_TOKEN_HEADS: head.rows.weight.detach()}


def _set_table(backbone: T5ForConditionalGeneration, table: nn.Module) -> None:
    """Give a T5 another table of token embeddings, which it has in three places."""
    for owner, name in ((backbone, "shared"), (backbone.encoder, "embed_tokens"), (backbone.decoder, "embed_tokens")):
        setattr(owner, name, table)


def _is_tied(backbone: T5ForConditionalGeneration) -> bool:
    return backbone.lm_head.weight is backbone.get_input_embeddings().weight
