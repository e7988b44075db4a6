"""What prompts say, before any tokenizer: their content and their words. Nothing here needs PyTorch."""

from vip5core.wording.sample import Sample, evaluation_samples
from vip5core.wording.texts import ANSWERS, RATINGS, dataset_texts, id_token, item_ids, stars
from vip5core.wording.words import prompt_words, target_words

__all__ = [
    "ANSWERS",
    "RATINGS",
    "Sample",
    "dataset_texts",
    "evaluation_samples",
    "id_token",
    "item_ids",
    "prompt_words",
    "stars",
    "target_words",
]
