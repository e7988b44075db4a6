"""The prompts of training and evaluation never reveal the answer."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare
from support.golden import GOLDEN

from vip5core.config import SamplingOptions
from vip5core.data.dataset import Dataset
from vip5core.prompts import WINDOWS, Sample, TrainingSampler, evaluation_samples
from vip5core.prompts.sampling import newer_targets
from vip5core.templates import default_templates
from vip5core.vocabulary import FADING

TEMPLATES = default_templates()
OFFICIAL = json.loads((GOLDEN / "train_windows.json").read_text("utf-8"))


def even(counts: Counter) -> bool:
    """Whether counts of equally likely cases look so: a wrong alarm once in a thousand seeds, and the seed is fixed."""
    return len(counts) == 1 or chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("line", OFFICIAL)
def test_the_papers_window_draws_what_the_official_code_draws(line: str) -> None:
    training = line.split()[1:-2]
    starts, targets = WINDOWS["paper"](np.random.default_rng(0), np.full(400, len(training)))
    drawn = {(tuple(training[s:t]), training[t]) for s, t in zip(starts.tolist(), targets.tolist(), strict=True)}
    assert drawn == {(tuple(case["history"]), case["target"]) for case in OFFICIAL[line]}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_shows_items_before_each_possible_target(name: str) -> None:
    lengths = np.repeat([2, 3, 4, 9], 300)
    starts, targets = WINDOWS[name](np.random.default_rng(1), lengths)
    assert (starts >= 0).all()
    assert (starts < targets).all()
    for length in (2, 3, 4, 9):
        counts = Counter(targets[lengths == length].tolist())
        first = 1 if name == "any" else max(1, min(length - 1, max(2, length - 3)))
        assert set(counts) == set(range(first, length))
        assert even(counts)
    assert set(starts.tolist()) == ({0} if name == "any" else {0, 1, 2})


def test_newer_targets_are_drawn_more_often_by_the_same_factor() -> None:
    ages = 5 - newer_targets(np.random.default_rng(2), np.full(60_000, 6))
    counts = np.bincount(ages, minlength=6)
    expected = FADING ** np.arange(6)
    assert chisquare(counts, counts.sum() * expected / expected.sum()).pvalue > 1e-3
    assert set(newer_targets(np.random.default_rng(3), np.ones(99, dtype=int)).tolist()) == {0}
    long = newer_targets(np.random.default_rng(4), np.full(2_000, 10_000))
    assert 9_800 < long.min() < 9_980


def epoch(shop: Dataset, options: SamplingOptions, number: int = 0, seed: int = 0) -> list[Sample]:
    sampler = TrainingSampler(shop, TEMPLATES, options, seed)
    samples = sampler.draw(number)
    assert len(samples) == len(sampler)
    assert sampler.steps(32) == len(samples[::32])
    return samples


@pytest.mark.parametrize("window", WINDOWS)
def test_split_by_time_users_are_trained_on_as_far_as_they_have_a_past(shop_by_time: Dataset, window: str) -> None:
    options = SamplingOptions(history_window=window, samples_per_user=(2, 2, 2, 2), train_candidates=20)
    sampler = TrainingSampler(shop_by_time, TEMPLATES, options, 0)
    lengths = shop_by_time.training_lengths[1:]
    assert {0} < set(lengths.tolist())  # somebody has no past
    samples = sampler.draw(0)
    for group, fewest in (("next_item", 2), ("next_check", 2), ("user_check", 1), ("choice", 1)):
        asked = Counter(sample.user for sample in samples if sample.template.group == group)
        assert asked == {user: 2 for user, length in enumerate(lengths, start=1) if length >= fewest}
    for sample in samples:
        training = set(shop_by_time.training_history(sample.user).tolist())
        assert sample.history is None or set(sample.history.tolist()) <= training
        if sample.answer and sample.template.group != "explanation":
            assert sample.item in training


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


def test_choices_that_should_be_even_are(shop: Dataset) -> None:
    """Templates, separators, answers, targets, and the place of the target among the candidates."""
    options = SamplingOptions(samples_per_user=(20, 20, 20, 20), train_candidates=8)
    samples = epoch(shop, options)
    for group in ("next_item", "next_check", "user_check", "choice", "explanation"):
        chosen = [sample for sample in samples if sample.template.group == group]
        templates = Counter(sample.template.id for sample in chosen)
        assert set(templates) == {template.id for template in TEMPLATES.of_group(group, seen=True)}
        assert even(templates)
        if group in ("next_item", "next_check", "choice"):
            separators = Counter((sample.template.id, sample.separator) for sample in chosen)
            assert len(separators) == 2 * len(templates)
            assert even(separators)
        if group in ("next_check", "user_check"):
            assert even(Counter(sample.answer for sample in chosen))
        if group == "choice":
            places = Counter(sample.candidates.tolist().index(sample.item) for sample in chosen)
            assert set(places) == set(range(8))
            assert even(places)
        if group in ("user_check", "choice"):
            asked = [(shop.history(s.user)[:-2].tolist(), s.item) for s in chosen if s.answer]
            length = Counter(len(training) for training, _ in asked).most_common(1)[0][0]
            targets = Counter(training.index(item) for training, item in asked if len(training) == length)
            assert set(targets) == set(range(length))
            assert even(targets)


def test_every_item_outside_the_training_part_is_a_candidate_equally_often_wherever_it_stands(shop: Dataset) -> None:
    options = SamplingOptions(samples_per_user=(1, 1, 1, 200), train_candidates=6, tasks=("direct",))
    lists = np.array([s.candidates for s in epoch(shop, options) if s.user == 2 and s.candidates is not None])
    unseen = sorted(set(range(1, shop.n_items + 1)) - set(shop.history(2)[:-2].tolist()))
    places = np.array([np.bincount(column, minlength=shop.n_items + 1)[unseen] for column in lists.T])
    assert (places.sum(axis=0) > 0).all()
    assert chisquare(places.sum(axis=0)).pvalue > 1e-3
    assert chisquare(places.sum(axis=1)).pvalue > 1e-3


def test_a_catalogue_with_fewer_items_than_a_list_gives_all_that_a_user_has_not_seen(shop: Dataset) -> None:
    options = SamplingOptions(train_candidates=500, tasks=("direct",), samples_per_user=(1, 1, 1, 1))
    lists = [sample for sample in epoch(shop, options) if sample.candidates is not None]
    assert len(lists) == shop.n_users
    for sample in lists:
        seen = set(shop.history(sample.user)[:-2].tolist()) - {sample.item}
        assert sorted(sample.candidates.tolist()) == sorted(set(range(1, shop.n_items + 1)) - seen)


def test_a_user_who_has_seen_every_item_is_only_asked_about_those(shop: Dataset) -> None:
    history = [*range(1, shop.n_items + 1), 1, 2]
    rows = pd.DataFrame({"user": 1, "item": history, "position": range(len(history))}).astype("int32")
    rows["split"] = ["train"] * shop.n_items + ["valid", "test"]
    dataset = replace(shop, interactions=rows, users=shop.users.head(1), explanations=shop.explanations.head(0))
    samples = epoch(dataset, SamplingOptions(samples_per_user=(1, 20, 20, 1)))
    assert all(sample.answer for sample in samples)
    assert [sample.candidates.tolist() for sample in samples if sample.candidates is not None] == [
        [sample.item] for sample in samples if sample.candidates is not None
    ]


def describe(samples: list[Sample]) -> list[str]:
    return [repr(sample) for sample in samples]


def test_the_same_seed_and_epoch_draw_the_same_and_others_differ(shop: Dataset) -> None:
    options = SamplingOptions(samples_per_user=(1, 1, 1, 1))
    first = describe(epoch(shop, options))
    assert describe(epoch(shop, options)) == first
    assert describe(epoch(shop, options, number=1)) != first
    assert describe(epoch(shop, options, seed=1)) != first


def test_an_epoch_does_not_depend_on_those_before_it(shop: Dataset) -> None:
    sampler = TrainingSampler(shop, TEMPLATES, SamplingOptions(), seed=3)
    third = [describe(sampler.draw(number)) for number in range(3)][2]
    assert describe(TrainingSampler(shop, TEMPLATES, SamplingOptions(), seed=3).draw(2)) == third


def test_an_epoch_mixes_the_groups(shop: Dataset) -> None:
    groups = [sample.template.group for sample in epoch(shop, SamplingOptions())]
    assert len(set(groups[:60])) == 5
    assert Counter(groups[::2])["choice"] == pytest.approx(Counter(groups)["choice"] / 2, rel=0.3)


def test_a_history_is_cut_to_its_newest_items(shop: Dataset) -> None:
    options = SamplingOptions(max_history=2, tasks=("sequential",))
    lengths = {len(sample.history) for sample in epoch(shop, options)}
    assert lengths == {1, 2}
    for sample in epoch(shop, options):  # the newest two before the target
        training = shop.history(sample.user)[:-2].tolist()
        if sample.answer:
            target = training.index(sample.item)
            assert sample.history.tolist() == training[max(target - 2, 0) : target]
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


def test_direct_prompts_ask_for_newer_items_if_they_should(shop: Dataset) -> None:
    def mean_age(choice: str) -> float:
        options = SamplingOptions(tasks=("direct",), samples_per_user=(0, 0, 0, 20), direct_targets=choice)
        samples = epoch(shop, options)
        places = [shop.before(s.user, "valid").tolist()[::-1].index(s.item) for s in samples]
        return float(np.mean(places))

    assert mean_age("newer") < 0.95 * mean_age("any")


def test_an_epoch_has_at_most_so_many_prompts_drawn_anew_from_all(shop: Dataset) -> None:
    whole = epoch(shop, SamplingOptions())
    options = SamplingOptions(max_samples=100)
    first, second = epoch(shop, options, 0), epoch(shop, options, 1)
    assert len(first) == 100
    assert {s.template.group for s in first} == {s.template.group for s in whole}
    assert [(s.user, s.item) for s in first] != [(s.user, s.item) for s in second]
    assert len(epoch(shop, SamplingOptions(max_samples=10**9))) == len(whole)


def test_each_explanation_gives_so_many_prompts(shop: Dataset) -> None:
    told = int((shop.explanations["split"] == "train").sum())
    for number in (1, 3):
        options = SamplingOptions(tasks=("explanation",), samples_per_explanation=number)
        assert set(Counter(s.explanation_row for s in epoch(shop, options)).values()) == {number}
        assert len(epoch(shop, options)) == number * told


def test_half_of_the_prompts_have_placeholders_of_every_number_up_to_the_most(shop: Dataset) -> None:
    options = SamplingOptions(samples_per_user=(10, 2, 2, 10), train_candidates=10)
    plain, spaced = (TrainingSampler(shop, TEMPLATES, options, 0, most).draw(1) for most in (0, 3))
    assert {sample.placeholders for sample in plain} == {0}
    counts = np.bincount([sample.placeholders for sample in spaced], minlength=4) / len(spaced)
    assert counts == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6], abs=0.05)
    assert [(s.user, s.item) for s in plain] == [(s.user, s.item) for s in spaced]  # nothing else is drawn otherwise
