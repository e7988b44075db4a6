"""SASRec's network: causal self-attention over the item history.

Kang & McAuley, "Self-Attentive Sequential Recommendation" (2018): learned positions, one table of item embeddings for
the history and for scoring.

Shape letters: B users, L items of a history, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vip5core.baselines.identity import SasrecOptions


class _Block(nn.Module):
    """Attention to this and earlier items, then a feed-forward layer, both with pre-norm and residual."""

    def __init__(self, options: SasrecOptions) -> None:
        super().__init__()
        D = options.width
        self.heads, self.dropout = options.heads, options.dropout
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.feed_forward = nn.Sequential(
            nn.Linear(D, D), nn.ReLU(), nn.Dropout(self.dropout), nn.Linear(D, D), nn.Dropout(self.dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        B, L, D = x.shape
        qkv = self.qkv(self.attention_norm(x)).view(B, L, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, L, D / heads]
        dropout = self.dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(B, L, D))
        return x + self.feed_forward(self.feed_forward_norm(x))


class SasrecModel(nn.Module):
    """The network.

    Histories are padded after their newest item, which causal attention never reaches, so no mask is needed. Positions
    are counted back from the newest item, as in the paper, which pads at the start.

    Args:
        n_items: The number of items, which are numbered 1 … n_items; 0 is padding.
        options: The sizes of the network.
    """

    def __init__(self, n_items: int, options: SasrecOptions) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items + 1, options.width, padding_idx=0)
        self.ages = nn.Embedding(options.max_history, options.width)
        self.dropout = nn.Dropout(options.dropout)
        self.blocks = nn.ModuleList(_Block(options) for _ in range(options.layers))
        self.norm = nn.LayerNorm(options.width)
        for table in (self.items, self.ages):
            nn.init.normal_(table.weight, std=options.width**-0.5)
        with torch.no_grad():
            self.items.weight[0] = 0.0

    def forward(self, histories: Tensor, lengths: Tensor) -> Tensor:
        """Predict what follows each item of a history, as vectors to be compared with item embeddings.

        Args:
            histories: The items of each user, oldest first, padded with 0 at the end. Shape: [B, L], where L is at most
                `max_history`.
            lengths: The number of items of each user. Shape: [B].

        Returns:
            The predictions, meaningless at padding. Shape: [B, L, D].
        """
        places = torch.arange(histories.shape[1], device=histories.device)
        ages = (lengths[:, None] - 1 - places).clamp(min=0)  # [B, L]
        x = self.dropout(self.items(histories) + self.ages(ages))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
