"""A prompt as text: to read it, and to prove that compiling equals tokenising. Training never calls this."""

from __future__ import annotations

from typing import cast

import numpy as np

from vip5core.data.dataset import Dataset
from vip5core.prompts import PLACEHOLDER, Layout, Sample
from vip5core.templates import Piece, TemplateSet


def render(sample: Sample, dataset: Dataset, templates: TemplateSet, layout: Layout) -> tuple[str, str]:
    """Prompt and target as text, image tokens as placeholders, nothing cut."""

    def image(item: int) -> str:
        shown = layout.image_tokens if layout.has_image[item] else 0
        return " ".join([PLACEHOLDER] * shown)

    def items(numbers: np.ndarray | None, separators: str) -> str:
        words = templates.separators[separators]
        between = f" {words[sample.separator % len(words)]} "
        return between.join(f"{item} {image(item)}".rstrip() for item in (() if numbers is None else numbers))

    def text(piece: Piece) -> str:
        if not piece.is_field:
            return piece.text
        match piece.text:
            case "user":
                return f"user_{sample.user}"
            case "name":
                return cast(str, dataset.users["name"].iat[sample.user - 1])
            case "item":
                return str(sample.item)
            case "title":
                return cast(str, dataset.items["title"].iat[sample.item - 1])
            case "image":
                return image(sample.item)
            case "history":
                return items(sample.history, "history")
            case "candidates":
                return items(sample.candidates, "candidates")
            case "answer":
                return "yes" if sample.answer else "no"
        row = dataset.explanations.iloc[sample.explanation_row]
        match piece.text:
            case "rating":
                return str(int(np.clip(round(row["rating"]), 1, 5)))
            case field:
                return row[field]

    template = sample.template
    source = " ".join(filter(None, map(text, template.source)))
    return source, " ".join(filter(None, map(text, template.target)))
