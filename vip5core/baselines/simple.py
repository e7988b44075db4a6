"""Popularity and random recommendation, the simplest baselines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.evaluation.rank import allowed_items
from vip5core.evaluation.results import ranking_rows, summarise, text_rows
from vip5core.metrics import rank_by_score
from vip5core.prompts import Sample
from vip5core.vocabulary import RANKING_TASKS

SIMPLE_BASELINES = ("popularity", "random")


def evaluate_baseline(
    name: str, dataset: Dataset, questions: dict[str, list[Sample]], config: TrialConfig, split: str = "test"
) -> tuple[dict[str, float], pd.DataFrame]:
    """Answer the questions of an evaluator without a model.

    `popularity` ranks items by how often they occur in the training split, and always writes the most frequent training
    explanation; `random` ranks at random, and writes a random training explanation.

    Args:
        name: The baseline, `popularity` or `random`.
        dataset: The dataset that the questions are about.
        questions: The questions that models are asked (`Evaluator.questions`).
        config: The settings of the models, for the seed and the items that may be ranked.
        split: The split of the questions.

    Returns:
        The metrics and the per-user rows, as from an evaluator.
    """
    rng = np.random.default_rng([config.seed, SIMPLE_BASELINES.index(name)])
    popular = name == "popularity"
    frames = []
    for task, samples in questions.items():
        if task in RANKING_TASKS:
            counts = dataset.training_popularity.astype(float)
            ranks = []
            for sample in samples:
                scores = counts if popular else rng.random(dataset.n_items + 1)
                allowed = np.flatnonzero(allowed_items(dataset, sample, split, config.exclude_history))
                ranks.append(rank_by_score(sample.item, scores, allowed, rng) if sample.item in allowed else 0)
            frames.append(ranking_rows(samples, split, ranks))
        else:
            frames.append(_explanations(samples, dataset, split, popular, rng))
    rows = pd.concat(frames, ignore_index=True)
    return summarise(rows, config.num_beams), rows


def _explanations(
    samples: Sequence[Sample], dataset: Dataset, split: str, popular: bool, rng: np.random.Generator
) -> pd.DataFrame:
    known = dataset.explanations_of("train")["explanation"]
    if known.empty:
        texts = [""] * len(samples)
    elif popular:
        counts = known.value_counts()
        most_frequent = min(counts.index[counts == counts.max()])
        texts = [most_frequent] * len(samples)
    else:
        texts = known.iloc[rng.integers(0, len(known), len(samples))].tolist()
    rows = [sample.explanation_row for sample in samples]
    references = dataset.explanations["explanation"].iloc[rows].tolist()
    return text_rows(samples, split, texts, references)
