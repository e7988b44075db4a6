"""The layout of all prompts of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """How prompts are laid out.

    Attributes:
        image_tokens: The number of tokens of an image; 0 makes prompts text-only.
        has_image: Whether each item has an image; without one it gets no image tokens. Shape: [items + 1], bool.
        max_source_tokens: The longest prompt, `</s>` included; the oldest items of a history are cut first.
        max_target_tokens: The longest target, `</s>` included.
    """

    image_tokens: int
    has_image: np.ndarray
    max_source_tokens: int = 1024
    max_target_tokens: int = 64
