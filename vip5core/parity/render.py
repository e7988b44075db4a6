"""A prompt as one text, to tokenise it in the straightforward way. Training never calls this."""

from __future__ import annotations

from vip5core.data.dataset import Dataset
from vip5core.prompts import PLACEHOLDER, Layout, Sample
from vip5core.templates import TemplateSet
from vip5core.wording import prompt_words, target_words


def render(sample: Sample, dataset: Dataset, templates: TemplateSet, layout: Layout) -> tuple[str, str]:
    """Prompt and target as text, image tokens as placeholders, nothing cut."""
    has_image = layout.has_image & (layout.image_tokens > 0)
    image = " ".join([PLACEHOLDER] * layout.image_tokens)
    words = prompt_words(sample, dataset, templates, has_image)
    return " ".join(image if isinstance(word, int) else word for word in words), " ".join(target_words(sample, dataset))
