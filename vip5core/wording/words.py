"""A prompt in words: what `vip5core.prompts` makes tokens of, text by text; a test holds the two together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vip5core.data.dataset import Dataset
from vip5core.templates import Piece, TemplateSet
from vip5core.wording.sample import Sample
from vip5core.wording.texts import field_text, item_id


def prompt_words(sample: Sample, dataset: Dataset, templates: TemplateSet, has_image: np.ndarray) -> list[str | int]:
    """What a model reads, word by word, and the number of an item where the tokens of its image stand.

    Nothing is cut. A model does not read the oldest items of a history that does not fit `max_source_tokens`, nor the
    end of a text of more than `MAX_FIELD_TOKENS` tokens.

    Args:
        sample: The prompt.
        dataset: The dataset whose items and users it is about.
        templates: The templates, for what stands between the items of a list.
        has_image: Whether prompts have the image of each item. Shape: [items + 1], bool.
    """

    def image(item: int) -> Iterator[int]:
        if has_image[item]:
            yield item

    def listed(items: Sequence[int], separators: Sequence[str]) -> Iterator[str | int]:
        for place, item in enumerate(items):
            if place:
                yield separators[sample.separator % len(separators)]
            yield item_id(dataset, item)
            yield from image(item)

    def words(piece: Piece) -> Iterator[str | int]:
        match piece.text if piece.is_field else "":
            case "":
                yield from piece.text.split()
            case "image":
                yield from image(sample.item)
            case "history" | "candidates" as field:
                items = getattr(sample, field)
                yield from listed(() if items is None else items.tolist(), templates.separators[field])
            case field:
                yield from field_text(field, sample, dataset).split()

    return [word for piece in sample.template.source for word in words(piece)]


def target_words(sample: Sample, dataset: Dataset) -> list[str]:
    """What a model has to write, word by word; nothing is cut."""
    words = []
    for piece in sample.template.target:
        words += (field_text(piece.text, sample, dataset) if piece.is_field else piece.text).split()
    return words
