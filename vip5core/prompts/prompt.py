"""One prompt before it becomes tensors: its content, and the layout of all prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vip5core.templates import Template


@dataclass(slots=True)  # not frozen: an epoch makes many, and a frozen one takes five times as long to make
class Sample:
    """The content of a prompt; each group of templates uses its part of it.

    Attributes:
        template: The template of the prompt.
        user: The number of the user.
        item: The item in question: the target, or the candidate of a yes/no question.
        history: Items in time order, for sequential templates.
        candidates: The items to choose from, for choice templates.
        answer: The correct answer to a yes/no question.
        explanation_row: The row of the dataset's explanations, for explanation templates.
        separator: The number of the separator in lists; 0 in evaluation.
        placeholders: The number of placeholders in the place of each item's image; 0 for images as the layout has them.
    """

    template: Template
    user: int
    item: int
    history: np.ndarray | None = None
    candidates: np.ndarray | None = None
    answer: bool = True
    explanation_row: int = -1
    separator: int = 0
    placeholders: int = 0


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
