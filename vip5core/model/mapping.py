"""The mapping network, which turns the CLIP feature of an image into `image_tokens` tokens of the prompt."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vip5core.t5 import rms_norm


class RMSNorm(nn.Module):
    """Root-mean-square norm without mean or bias, as in T5."""

    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [M, width], unchanged."""
        return rms_norm(x, self.weight, self.epsilon)


class MappingNetwork(nn.Module):
    """Linear · tanh · Linear · RMS norm over all image tokens together (VIP5, section 3.2; `VisualEmbedding`).

    Args:
        feature_width: The width of a CLIP feature (512, 768 or 1024 for OpenAI's).
        d_model: The width of the backbone.
        image_tokens: The number of tokens of an image, n.
        norm: Whether it ends with the RMS norm, which the official code makes optional.
    """

    def __init__(self, *, feature_width: int, d_model: int, image_tokens: int, norm: bool = True) -> None:
        super().__init__()
        hidden, out = d_model * image_tokens // 2, d_model * image_tokens
        self.image_tokens = image_tokens
        self.inner = nn.Linear(feature_width, hidden)
        self.outer = nn.Linear(hidden, out)
        self.norm: nn.Module = RMSNorm(out) if norm else nn.Identity()

    @torch.no_grad()
    def start_at(self, embedding: Tensor) -> None:
        """Let every image token start as `embedding` and what the image adds to it. Shape: [D]."""
        self.outer.bias.copy_(embedding.repeat(self.image_tokens))
        if isinstance(self.norm, RMSNorm):
            self.norm.weight.fill_(float(embedding.square().mean().sqrt()))

    def forward(self, features: Tensor) -> Tensor:
        """Shape: features [M, feature width] to image tokens [M, n, D]."""
        mapped = self.norm(self.outer(torch.tanh(self.inner(features))))  # [M, n * D]
        return mapped.view(len(features), self.image_tokens, -1)
