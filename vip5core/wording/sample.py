"""The content of prompts: what each of them shows and asks, before it is words or tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vip5core.data.dataset import Dataset
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


def evaluation_samples(
    dataset: Dataset, template: Template, split: str, subjects: Sequence[int] | np.ndarray, max_history: int
) -> list[Sample]:
    """The prompts that ask for the held-out items of `split`.

    Args:
        dataset: The dataset whose held-out items are asked for.
        template: The template of the prompts, which has no yes/no answer.
        split: The split of the held-out items, `valid` or `test`.
        subjects: The users; for an explanation template, rows of `dataset.explanations`.
        max_history: The number of the newest items of a history that are shown.

    Raises:
        ValueError: if the template asks for a yes/no answer, which cannot be ranked.
    """
    users, items = dataset.explanations["user"].to_numpy(), dataset.explanations["item"].to_numpy()
    samples = []
    for subject in map(int, subjects):
        match template.group:
            case "next_item":
                history = dataset.before(subject, split)[-max_history:]
                samples.append(Sample(template, subject, dataset.target(subject, split), history=history))
            case "choice":
                candidates = dataset.candidates(subject, split)
                samples.append(Sample(template, subject, dataset.target(subject, split), candidates=candidates))
            case "explanation":
                user, item = int(users[subject]), int(items[subject])
                samples.append(Sample(template, user, item, explanation_row=subject))
            case group:
                raise ValueError(f"template {template.id} of group {group!r} has no answer that can be ranked")
    return samples
