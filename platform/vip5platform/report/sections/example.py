"""One user: what the best level was asked about them, and what it recommended.

All of it comes from the dataset and from the lists that the trial has kept, so that no model is needed.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from vip5core.data.dataset import Dataset
from vip5core.templates import default_templates
from vip5core.trial.result import TrialResult
from vip5core.vocabulary import RANKING_TASKS
from vip5core.wording import evaluation_samples, prompt_words
from vip5platform.analysis.find_features import find_features
from vip5platform.analysis.results import CellResults, StudyResults
from vip5platform.report.blocks import Block, Card, Code, Text
from vip5platform.report.formatting import format_percent, level_as_subject, level_name, shorten_prompt

TITLE = "One user"

#: Items of the list that are shown; a target among them is a hit.
_SHOWN = 10
#: The characters of all pictures of a card.
_PICTURES = 150_000


def best_level(study: StudyResults) -> CellResults | None:
    """The level that is best on the first metric on which any is."""
    found = (group.best(name) for group in study.groups for name in study.metrics)
    return next((cell for cell in found if cell is not None), None)


def blocks(study: StudyResults) -> list[Block]:
    """A user whose target the best level has among its first ten, with the command that shows more of them."""
    from vip5platform.report.pictures import pictures_of  # late, because a report as text has no pictures

    level = best_level(study)
    if level is None or level.dataset is None:
        return []
    result, dataset = next(iter(level.results.values())), level.dataset
    lists = result.lists
    task = next((task for task in RANKING_TASKS if lists is not None and (lists["task"] == task).any()), None)
    if lists is None or task is None:
        return []
    user, found = _choose(result.per_user, task)
    best = lists[(lists["task"] == task) & (lists["user"] == user)].sort_values("rank")[:_SHOWN]
    shares = [(int(item), math.exp(score)) for item, score in zip(best["item"], best["score"], strict=True)]
    templates, config = default_templates(), result.config
    template = templates[getattr(config, f"{task}_template")]
    (sample,) = evaluation_samples(dataset, template, "test", [user], config.max_history)
    prompt = prompt_words(sample, dataset, templates, _has_image(study, result, dataset))
    pictured = (word for word in shorten_prompt(prompt) if isinstance(word, int))
    shown = {sample.item, *(item for item, _ in shares), *pictured}
    asked, name = dataset.users.iloc[user - 1], level_as_subject(level_name(level, study), study)
    return [
        Text(
            f"What {name} was asked about {asked['name'] or asked['raw_id']} in the test ({task}), with the pictures "
            f"where their image tokens stand, and what it recommended. {found}"
        ),
        Card(prompt, shares, sample.item, pictures_of(dataset, shown, _PICTURES)),
        Text("More users, and each prompt word by word:", "note"),
        Code(f"vip5 show {result.folder.name[:8]}"),
    ]


def _choose(rows: pd.DataFrame, task: str) -> tuple[int, str]:
    """The first user with a hit, or the first one, and how it was chosen."""
    asked = rows[rows["task"] == task]
    hits = asked[asked["rank"].between(1, _SHOWN)]
    if hits.empty:
        return int(asked["user"].iloc[0]), "The target is among the first ten for nobody; this is the first user."
    share = format_percent(len(hits) / len(asked))
    return int(hits["user"].iloc[0]), f"The target is among the first ten for {share} of the users; this is the first."


def _has_image(study: StudyResults, result: TrialResult, dataset: Dataset) -> np.ndarray:
    """Whether the prompts of a trial have the image of each item. Shape: [items + 1], entry 0 unused."""
    if not result.config.uses_images:
        return np.zeros(dataset.n_items + 1, dtype=bool)
    store = find_features(result, dataset, study.home) if study.home is not None else None
    return store.has_image if store is not None else np.append(False, dataset.items["image_sha256"].notna())
