"""The prompts of training and evaluation never reveal the answer."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from support.golden import GOLDEN

from vip5core.config import SamplingOptions
from vip5core.data.dataset import Dataset
from vip5core.prompts import WINDOWS, Sample, TrainingSampler, evaluation_samples
from vip5core.templates import default_templates

TEMPLATES = default_templates()
OFFICIAL = json.loads((GOLDEN / "train_windows.json").read_text("utf-8"))


@pytest.mark.parametrize("line", OFFICIAL)
def test_the_papers_window_draws_what_the_official_code_draws(line: str) -> None:
    training = np.array(line.split()[1:-2])
    rng = np.random.default_rng(0)
    window = WINDOWS["paper"]
    drawn = {(tuple(history), target) for history, target in (_draw(window, rng, training) for _ in range(400))}
    assert drawn == {(tuple(case["history"]), case["target"]) for case in OFFICIAL[line]}


def _draw(window, rng: np.random.Generator, training: np.ndarray) -> tuple[list[str], str]:
    """The window works on numbers: positions in, items out."""
    history, target = window(rng, np.arange(len(training)))
    return training[history].tolist(), training[target]


@pytest.mark.parametrize("length", [2, 3, 4, 9])
@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_shows_the_items_right_before_its_target(name: str, length: int) -> None:
    rng = np.random.default_rng(1)
    targets = Counter()
    for _ in range(200):
        history, target = WINDOWS[name](rng, np.arange(length))
        assert len(history) > 0
        assert history.tolist() == list(range(history[0], target))
        targets[target] += 1
    expected = range(1, length) if name == "any" else range(max(1, min(length - 1, max(2, length - 3))), length)
    assert set(targets) == set(expected)


def epoch(shop: Dataset, options: SamplingOptions, number: int = 0, seed: int = 0) -> list[Sample]:
    sampler = TrainingSampler(shop, TEMPLATES, options, seed)
    batches = list(sampler.epoch(number, 32))
    samples = [sample for batch in batches for sample in batch]
    assert len(batches) == sampler.steps(32)
    assert len(samples) == len(sampler)
    return samples


@pytest.mark.parametrize("window", WINDOWS)
def test_training_never_shows_a_held_out_item_nor_has_it_as_the_answer(shop: Dataset, window: str) -> None:
    for number in range(3):
        for sample in epoch(shop, SamplingOptions(history_window=window, train_candidates=20), number):
            training = set(shop.history(sample.user)[:-2].tolist())
            held_out = set(shop.history(sample.user)[-2:].tolist())
            if sample.answer:
                assert sample.item in training
                assert sample.item not in held_out
            else:
                assert sample.item not in training  # a held-out item may be a negative: its absence would reveal it
            if sample.history is not None:
                assert set(sample.history.tolist()) <= training
                assert sample.item not in sample.history
            if sample.candidates is not None:
                candidates = sample.candidates.tolist()
                assert len(candidates) == len(set(candidates)) == 20
                assert set(candidates) & training == {sample.item}
            if sample.explanation_row >= 0:
                assert shop.explanations["split"].iat[sample.explanation_row] == "train"


def test_an_epoch_has_the_papers_number_of_samples_of_each_group(shop: Dataset) -> None:
    samples = epoch(shop, SamplingOptions(samples_per_user=(5, 4, 3, 2)))
    groups = Counter(sample.template.group for sample in samples)
    rows = shop.manifest.counts["explanations_train"]
    users = shop.n_users
    assert groups == {
        "next_item": 5 * users,
        "next_check": 4 * users,
        "user_check": 3 * users,
        "choice": 2 * users,
        "explanation": rows,
    }
    assert {sample.template.id for sample in samples} == set(TEMPLATES.templates) - {"A-9", "B-8", "C-12"}
    assert Counter(s.explanation_row for s in samples if s.explanation_row >= 0).most_common(1)[0][1] == 1
    checks = [sample.answer for sample in samples if sample.template.group in ("next_check", "user_check")]
    assert 0.35 < np.mean(checks) < 0.65


def test_only_the_chosen_tasks_are_drawn(shop: Dataset) -> None:
    for task in ("sequential", "direct", "explanation"):
        assert {sample.template.task for sample in epoch(shop, SamplingOptions(tasks=(task,)))} == {task}


def describe(samples: list[Sample]) -> list[str]:
    return [repr(sample) for sample in samples]


def test_the_same_seed_and_epoch_draw_the_same_and_others_differ(shop: Dataset) -> None:
    options = SamplingOptions(samples_per_user=(1, 1, 1, 1))
    first = describe(epoch(shop, options))
    assert describe(epoch(shop, options)) == first
    assert describe(epoch(shop, options, number=1)) != first
    assert describe(epoch(shop, options, seed=1)) != first


def test_a_history_is_cut_to_its_newest_items(shop: Dataset) -> None:
    options = SamplingOptions(max_history=2, tasks=("sequential",))
    lengths = {len(sample.history) for sample in epoch(shop, options)}
    assert lengths == {1, 2}
    asked = evaluation_samples(shop, TEMPLATES["A-3"], "test", [1], max_history=3)[0]
    assert asked.history.tolist() == shop.before(1, "test")[-3:].tolist()


@pytest.mark.parametrize("split", ["valid", "test"])
def test_evaluation_never_shows_the_answer(shop: Dataset, split: str) -> None:
    users = range(1, shop.n_users + 1)
    for user, sample in zip(users, evaluation_samples(shop, TEMPLATES["A-3"], split, users, 50), strict=True):
        assert sample.item == shop.target(user, split)
        assert sample.item not in sample.history
        assert sample.history.tolist() == shop.before(user, split).tolist()
    for user, sample in zip(users, evaluation_samples(shop, TEMPLATES["B-5"], split, users, 50), strict=True):
        assert sample.item == shop.target(user, split)
        assert sample.candidates.tolist() == shop.candidates(user, split).tolist()
    rows = np.flatnonzero(shop.explanations["split"] == split)
    for row, sample in zip(rows, evaluation_samples(shop, TEMPLATES["C-3"], split, rows, 50), strict=True):
        assert (sample.user, sample.item) == tuple(shop.explanations[["user", "item"]].iloc[row])
    with pytest.raises(ValueError, match=r"template B-1 .* has no answer that can be ranked"):
        evaluation_samples(shop, TEMPLATES["B-1"], split, users, 50)
