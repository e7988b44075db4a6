"""A model of transformers as a module that gives one vector per image; see `transformers_models` for which."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class PooledModel(nn.Module):
    """Gives the pooled features of images.

    Args:
        model: A model of transformers with images as its input.
        has_pooler: Whether the weights of its pooler, if it has one, were among those that were loaded.
    """

    def __init__(self, model: Any, has_pooler: bool) -> None:
        super().__init__()
        self.model, self.has_pooler = model, has_pooler

    def forward(self, images: Tensor) -> Tensor:
        """Shape: images [N, 3, height, width] to features [N, feature width]."""
        if hasattr(self.model, "get_image_features"):
            found = self.model.get_image_features(pixel_values=images)
            return _flat(found if isinstance(found, Tensor) else found.pooler_output)
        found = self.model(pixel_values=images)
        for name in ("image_embeds", "pooler_output"):
            pooled = getattr(found, name, None)
            if pooled is not None and (self.has_pooler or name == "image_embeds"):
                return _flat(pooled)
        last: Tensor = found.last_hidden_state
        return last[:, 0] if last.ndim == 3 else last.mean((2, 3))


def _flat(pooled: Tensor) -> Tensor:
    """[N, width] of [N, width] or [N, width, 1, 1]."""
    return pooled.flatten(1)
