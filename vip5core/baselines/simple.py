"""Popularity and random recommendation, the simplest baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from vip5core.baselines.identity import simple_folder
from vip5core.baselines.ranking import ScoreRanker
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.evaluation.evaluate import questions
from vip5core.evaluation.finish import Evaluation, finish
from vip5core.evaluation.rank import allowed_items
from vip5core.evaluation.results import ranking_rows, text_rows
from vip5core.fingerprint import SIMPLE_BASELINE_ROOTS, code_identity
from vip5core.home import Home
from vip5core.prompts import Sample
from vip5core.templates import default_templates
from vip5core.trial.result import Content, TrialRecord, TrialResult, package_versions
from vip5core.vocabulary import RANKING_TASKS


class SimpleBaseline(Protocol):
    """How a baseline that is not trained answers."""

    @staticmethod
    def score(dataset: Dataset, rng: np.random.Generator) -> np.ndarray:
        """Score all items for one user, higher for better. Shape: [items + 1], entry 0 unused."""

    @staticmethod
    def write(known: pd.Series, count: int, rng: np.random.Generator) -> list[str]:
        """Write `count` explanations, given the training explanations, of which there is at least one."""


class Popularity:
    """Ranks items by how often they occur in the training split; always writes the most frequent explanation."""

    @staticmethod
    def score(dataset: Dataset, rng: np.random.Generator) -> np.ndarray:
        return dataset.training_popularity.astype(float)

    @staticmethod
    def write(known: pd.Series, count: int, rng: np.random.Generator) -> list[str]:
        counts = known.value_counts()
        return [min(counts.index[counts == counts.max()])] * count


class Random:
    """Ranks at random, and writes a random training explanation."""

    @staticmethod
    def score(dataset: Dataset, rng: np.random.Generator) -> np.ndarray:
        return rng.random(dataset.n_items + 1)

    @staticmethod
    def write(known: pd.Series, count: int, rng: np.random.Generator) -> list[str]:
        return known.iloc[rng.integers(0, len(known), count)].tolist()


SIMPLE_BASELINES: dict[str, type[SimpleBaseline]] = {"popularity": Popularity, "random": Random}


def run_baseline(name: str, dataset: Dataset, config: TrialConfig, home: Home) -> Path:
    """Answer the test questions of `config`, and write the folder, unless it exists: scoring texts takes long.

    Args:
        name: The baseline, a name in `SIMPLE_BASELINES`.
        dataset: The dataset that the questions are about.
        config: The settings of the models that the baseline is compared with.
        home: The home whose `baselines/` gets the folder.

    Returns:
        The folder, to be read by `TrialResult.load`.
    """
    out = simple_folder(name, dataset, config, home)
    if home.fetch(out).is_dir():
        return out
    asked = questions(dataset, default_templates(), config, "test", config.test_users)
    answers = evaluate_baseline(name, dataset, asked, config)
    record = TrialRecord(
        fingerprint=out.name.removeprefix(f"{name}-"),
        code=code_identity(*SIMPLE_BASELINE_ROOTS),
        dataset=Content(name=dataset.name, fingerprint=dataset.fingerprint),
        versions=package_versions(),
    )
    TrialResult(out, config, answers.metrics, [], record).save(answers.rows, lists=answers.lists)
    return home.publish(out)


def evaluate_baseline(
    name: str, dataset: Dataset, questions: dict[str, list[Sample]], config: TrialConfig, split: str = "test"
) -> Evaluation:
    """Answer the questions of an evaluator without a model.

    Args:
        name: The baseline, a name in `SIMPLE_BASELINES`.
        dataset: The dataset that the questions are about.
        questions: The questions that models are asked (`Evaluator.questions`).
        config: The settings of the models, for the seed and the items that may be ranked.
        split: The split of the questions.

    Returns:
        The metrics, the per-user rows and the lists, as from an evaluator.
    """
    baseline = SIMPLE_BASELINES[name]
    rng = np.random.default_rng([config.seed, list(SIMPLE_BASELINES).index(name)])
    ranker, frames = ScoreRanker(rng), []
    for task, samples in questions.items():
        if task in RANKING_TASKS:
            ranks, lists = [], []
            for sample in samples:
                allowed = allowed_items(dataset, sample, split, config.exclude_history)
                rank, ranked = ranker(sample.item, baseline.score(dataset, rng), allowed)
                ranks.append(rank)
                lists.append(ranked)
            frames.append(ranking_rows(samples, split, ranks, lists=lists))
        else:
            frames.append(_explanations(samples, dataset, split, baseline, rng))
    return finish(pd.concat(frames, ignore_index=True), dataset, config.num_beams)


def _explanations(
    samples: Sequence[Sample],
    dataset: Dataset,
    split: str,
    baseline: type[SimpleBaseline],
    rng: np.random.Generator,
) -> pd.DataFrame:
    known = dataset.explanations_of("train")["explanation"]
    texts = [""] * len(samples) if known.empty else baseline.write(known, len(samples), rng)
    rows = [sample.explanation_row for sample in samples]
    references = dataset.explanations["explanation"].iloc[rows].tolist()
    return text_rows(samples, split, texts, references)
