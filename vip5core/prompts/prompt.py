"""One prompt before it becomes tensors: its segments and images, in their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vip5core.errors import UserError
from vip5core.prompts.tables import PromptTables
from vip5core.templates import Piece, Template


@dataclass(frozen=True)
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
    """

    template: Template
    user: int
    item: int
    history: np.ndarray | None = None
    candidates: np.ndarray | None = None
    answer: bool = True
    explanation_row: int = -1
    separator: int = 0


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


def source_parts(sample: Sample, tables: PromptTables, layout: Layout) -> np.ndarray:
    """The prompt as one array: a segment number ≥ 0, or minus the item whose image stands there."""
    parts: list[int] = []
    history = slice(0, 0)  # the position of the history, the only part that may be cut
    for piece in sample.template.source:
        if not piece.is_field:
            parts.append(tables.literals[piece.text])
        elif piece.text == "history":
            items = _list_parts(sample.history, "history", sample, tables, layout)
            history = slice(len(parts), len(parts) + len(items))
            parts += items
        elif piece.text == "candidates":
            parts += _list_parts(sample.candidates, "candidates", sample, tables, layout)
        elif piece.text == "image":
            if layout.image_tokens and layout.has_image[sample.item]:
                parts.append(-sample.item)
        else:
            parts.append(_field(piece, sample, tables))
    return _cut_history(np.array(parts), history, tables, layout)


def target_parts(sample: Sample, tables: PromptTables) -> np.ndarray:
    """The target as segment numbers."""
    return np.array(
        [
            _field(piece, sample, tables) if piece.is_field else tables.literals[piece.text]
            for piece in sample.template.target
        ]
    )


def _field(piece: Piece, sample: Sample, tables: PromptTables) -> int:
    match piece.text:
        case "user" | "name":
            return tables.segment(piece.text, sample.user)
        case "item" | "title":
            return tables.segment(piece.text, sample.item)
        case "answer":
            return tables.answer(sample.answer)
        case "rating":
            return tables.rating(tables.explanation_ratings[sample.explanation_row])
        case _:
            return tables.segment(piece.text, sample.explanation_row)


def _list_parts(
    items: np.ndarray | None, separators: str, sample: Sample, tables: PromptTables, layout: Layout
) -> list[int]:
    """Item, its image, separator, item, its image, …"""
    assert items is not None, f"template {sample.template.id} needs {separators}"
    words = tables.templates.separators[separators]
    triples = np.empty((len(items), 3), dtype=np.int64)
    triples[:, 0] = tables.sections["item"] + items - 1
    triples[:, 1] = -items
    triples[:, 2] = tables.literals[words[sample.separator % len(words)]]
    keep = np.ones_like(triples, dtype=bool)
    keep[:, 1] = layout.has_image[items] if layout.image_tokens else False
    keep[-1:, 2] = False
    return triples[keep].tolist()


def part_lengths(parts: np.ndarray, tables: PromptTables, layout: Layout) -> np.ndarray:
    """The number of tokens of each part."""
    return np.where(parts < 0, layout.image_tokens, tables.lengths(np.maximum(parts, 0)))


def _cut_history(parts: np.ndarray, history: slice, tables: PromptTables, layout: Layout) -> np.ndarray:
    """Cut the oldest items of the history until the prompt fits.

    The official code cuts the end of the prompt instead, and with it the newest items and the instruction.
    """
    lengths = part_lengths(parts, tables, layout)
    excess = int(lengths.sum()) + 1 - layout.max_source_tokens
    if excess <= 0:
        return parts
    if history.stop == history.start:
        raise _too_long(lengths, layout)
    listed = parts[history]
    first_item = tables.sections["item"]
    begins = np.flatnonzero((listed >= first_item) & (listed < first_item + tables.n_items))
    saved = np.concatenate([[0], np.cumsum(lengths[history])])[begins]  # by starting at each item
    enough = begins[saved >= excess]
    if not len(enough):
        raise _too_long(lengths, layout)
    start = history.start + int(enough[0])
    return np.concatenate([parts[: history.start], parts[start:]])


def _too_long(lengths: np.ndarray, layout: Layout) -> UserError:
    return UserError(
        f"a prompt of {int(lengths.sum()) + 1} tokens does not fit max_source_tokens={layout.max_source_tokens}, even "
        "without a history: set fewer train_candidates or image_tokens"
    )
