"""Cases to look at: what a model read, what it answered, and what was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vip5core.data.dataset import Dataset
from vip5core.evaluation.rank import RankedList
from vip5core.metrics import UNRANKED, rank_of
from vip5core.prompts import Sample, evaluation_samples
from vip5core.serving.trained import TrainedModel
from vip5core.serving.words import Word, read_words
from vip5core.vocabulary import RANKING_TASKS


@dataclass(frozen=True)
class Case:
    """One question of the test, and its answer.

    Attributes:
        sample: The question; its `item` is the target, or what an explanation is about.
        words: The prompt as the model read it.
        ranked: The list of a ranking task.
        rank: The rank of the target in it; `UNRANKED` if it is not there.
        text: The text that was written for an explanation.
        reference: The user's own text.
    """

    sample: Sample
    words: list[Word]
    ranked: RankedList
    rank: int = UNRANKED
    text: str = ""
    reference: str = ""


def questions_about(trained: TrainedModel, task: str, users: Sequence[int]) -> list[Sample]:
    """What the test asks about `users`, in their order; about those whom the split does not ask, nothing.

    A ranking task has one question for a user, and of the explanations that a user wrote the first one is asked for.
    """
    config, dataset = trained.config, trained.dataset
    template = trained.components.tables.templates[getattr(config, f"{task}_template")]
    if task in RANKING_TASKS:
        asked = set(dataset.asked_users("test").tolist())
        subjects = [user for user in users if user in asked]
    else:
        rows = dataset.explanations
        chosen = rows[(rows["split"] == "test") & rows["user"].isin(set(users))]
        subjects = chosen.drop_duplicates("user").index.tolist()
    return evaluation_samples(dataset, template, "test", subjects, config.max_history)


def answer_cases(trained: TrainedModel, samples: Sequence[Sample]) -> list[Case]:
    """The cases of questions of one task, in their order."""
    if not samples:
        return []
    inputs, dataset = trained.components, trained.dataset
    words = read_words(samples, inputs.tables, inputs.layout(trained.config), inputs.backbone.tokenizer)
    if samples[0].template.task in RANKING_TASKS:
        seen = [_excluded(dataset, sample, trained.config.exclude_history) for sample in samples]
        lists = trained.rank(samples, seen, min(trained.config.num_beams, dataset.n_items))
        answers = zip(samples, words, lists, strict=True)
        return [Case(sample, read, found, rank_of(sample.item, found.items)) for sample, read, found in answers]
    texts = trained.explain(samples)
    references = dataset.explanations["explanation"]
    return [
        Case(sample, read, RankedList([], []), text=text, reference=references.iloc[sample.explanation_row])
        for sample, read, text in zip(samples, words, texts, strict=True)
    ]


def _excluded(dataset: Dataset, sample: Sample, exclude_history: bool) -> np.ndarray:
    return dataset.before(sample.user, "test") if exclude_history else np.empty(0, dtype=np.int64)
