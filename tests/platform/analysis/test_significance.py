"""Levels are compared as samples of users and of trainings."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vip5platform.analysis.resampling import seed_noise
from vip5platform.analysis.significance import (
    Comparison,
    all_pairs,
    compare,
    holm,
    mean_interval,
    rank_agreement,
    unit_values,
    with_holm,
)

from benchmarks.simulated_studies import World, ours, rejections, users_only
from vip5core.errors import UserError
from vip5core.evaluation.results import summarise
from vip5core.metrics.text import rouge_of, sentence_bleus

DRAWS = 499


def level(*seeds: list[float] | np.ndarray, first: int = 0) -> dict[int, pd.Series]:
    """Values of each seed, by (user, item)."""
    return {
        number: pd.Series(
            np.asarray(values, dtype=float),
            index=pd.MultiIndex.from_tuples([(u, 10 * u) for u in range(1, len(values) + 1)], names=["user", "item"]),
        )
        for number, values in enumerate(seeds, first)
    }


def random_level(rng: np.random.Generator, seeds: int, users: int, plus: float = 0.0) -> dict[int, pd.Series]:
    return level(*(rng.random((seeds, users)) + plus))


# -- the test ----------------------------------------------------------------------------------------------------------


def test_few_units_of_one_seed_are_tested_by_all_their_signs() -> None:
    changes = np.array([0.5, 0.3, -0.1, 0.2])
    all_means = [np.mean(np.array(signs) * changes) for signs in itertools.product([-1, 1], repeat=4)]
    by_hand = np.mean([abs(mean) >= abs(changes.mean()) - 1e-12 for mean in all_means])
    assert by_hand == 4 / 16  # all of one sign, and all but the smallest
    answer = compare(level(1 + changes), level([1.0] * 4))
    assert answer.p_value == by_hand
    assert answer.difference == pytest.approx(0.225)
    assert answer.effect_size == pytest.approx(0.225 / changes.std(ddof=1))
    assert (answer.first_mean, answer.second_mean) == (pytest.approx(1.225), 1.0)
    assert answer.relative == pytest.approx(0.225)


def test_units_that_do_not_change_leave_the_test_as_it_is() -> None:
    changes = [0.5, 0.3, -0.1, 0.2]
    more = compare(level([*changes, 0, 0, 0]), level([0.0] * 7))
    assert more.p_value == compare(level(changes), level([0.0] * 4)).p_value
    assert compare(level([1, 0, 0]), level([0.0] * 3)).p_value == 1.0  # one unit alone can only change its sign


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_level_is_no_different_from_itself(seeds: int) -> None:
    same = random_level(np.random.default_rng(0), seeds, 40)
    answer = compare(same, same)
    assert (answer.p_value, answer.difference, answer.low, answer.high, answer.effect_size) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_shift_far_above_the_noise_is_found(seeds: int) -> None:
    rng = np.random.default_rng(1)
    answer = compare(random_level(rng, seeds, 200, plus=2.0), random_level(rng, seeds, 200))
    assert answer.p_value < (0.001 if seeds != 2 else 0.01)
    assert answer.low > 1.5
    assert answer.low < 2.0 < answer.high


def test_units_are_paired() -> None:
    rng = np.random.default_rng(2)
    users = 5 * rng.random(300)
    better, worse = users + 0.1 + 0.1 * rng.standard_normal(300), users + 0.1 * rng.standard_normal(300)
    assert compare(level(better), level(worse)).p_value < 0.001
    assert compare(level(rng.permutation(better)), level(worse)).p_value > 0.05


def test_units_are_found_by_their_names_not_their_places() -> None:
    rng = np.random.default_rng(3)
    first, second = random_level(rng, 2, 30), random_level(rng, 2, 30)
    shuffled = {seed: series.sample(frac=1, random_state=4) for seed, series in second.items()}
    assert compare(first, shuffled, draws=DRAWS) == compare(first, second, draws=DRAWS)


def test_one_training_of_each_says_so_and_knows_nothing_of_others() -> None:
    rng = np.random.default_rng(4)
    first, second = random_level(rng, 1, 100, plus=0.2), random_level(rng, 1, 100)
    answer = compare(first, second)
    assert answer.seeds == 1
    assert not seed_noise([np.stack(list(first.values()))], np.zeros(100), 9, 0).draws.any()
    assert compare(first, random_level(rng, 3, 100)).seeds == 1


def test_what_trainings_do_to_each_user_counts_once() -> None:
    rng = np.random.default_rng(15)
    a, b = rng.random((2, 4, 500))  # all of it is the effect of runs
    assert seed_noise([a, b], a.mean(axis=0) - b.mean(axis=0), 9, 0).lasting < 0.2
    a = a + 5 * rng.random(500)  # each user gains something of his own
    assert seed_noise([a, b], a.mean(axis=0) - b.mean(axis=0), 9, 0).lasting > 0.9


def test_trainings_that_disagree_leave_a_difference_in_doubt() -> None:
    rng = np.random.default_rng(5)
    users, each = rng.random(200), 0.02 * rng.standard_normal((6, 200))
    steady = [users + row for row in each]
    lucky = [row + run_effect for row, run_effect in zip(steady, [0.3, 0.0, 0.0, -0.05, 0.1, -0.05], strict=True)]
    assert np.mean(lucky[:3]) - np.mean(lucky[3:]) == pytest.approx(0.1, abs=0.01)
    doubtful = compare(level(*lucky[:3]), level(*lucky[3:]))
    assert doubtful.p_value > 0.2
    assert doubtful.low < 0 < doubtful.high
    certain = compare(level(*(row + 0.1 for row in steady[:3])), level(*steady[3:]))
    assert certain.p_value < 0.001


def test_a_seed_that_failed_in_one_level_is_no_loss_for_the_other() -> None:
    rng = np.random.default_rng(6)
    three, two = random_level(rng, 3, 50), random_level(rng, 2, 50)
    answer = compare(three, two, draws=DRAWS)
    assert (answer.seeds, answer.units) == (2, 50)
    assert answer.difference == pytest.approx(np.mean(list(three.values())) - np.mean(list(two.values())))
    elsewhere = {seed + 7: series for seed, series in two.items()}  # seeds are exchangeable: their numbers say nothing
    assert compare(three, elsewhere, draws=DRAWS) == answer


def test_the_same_question_gets_the_same_answer() -> None:
    rng = np.random.default_rng(7)
    first, second = random_level(rng, 3, 50), random_level(rng, 3, 50)
    assert compare(first, second, draws=DRAWS) == compare(first, second, draws=DRAWS)
    assert compare(first, second, draws=DRAWS, seed=1) != compare(first, second, draws=DRAWS)
    assert mean_interval(first, draws=DRAWS) == mean_interval(first, draws=DRAWS)


@pytest.mark.slow
def test_a_hundred_thousand_users_fit() -> None:
    rng = np.random.default_rng(8)
    first, second = random_level(rng, 2, 100_000), random_level(rng, 2, 100_000)
    answer = compare(first, second, draws=DRAWS)
    spread = math.sqrt(1 / 12 / 100_000)  # of a difference of means of two uniform numbers each
    assert 2 * spread < answer.high - answer.low < 30 * spread
    assert compare({0: first[0] + 0.01}, {0: second[0]}, draws=DRAWS).p_value == 1 / (DRAWS + 1)


def test_blocks_of_users_have_the_interval_of_users() -> None:
    rng = np.random.default_rng(9)
    values = (rng.random(2_345) < 0.1) * rng.random(2_345)
    mean, low, high = mean_interval(level(values))
    assert mean == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(len(values)), rel=0.05)
    in_turn = np.tile(np.repeat([0.0, 1.0], 500), 4)  # an order of users that goes with the size of blocks
    _, low, high = mean_interval(level(in_turn))
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(4_000), rel=0.15)


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data(), seeds_a=st.integers(1, 3), seeds_b=st.integers(1, 3), users=st.integers(2, 12))
def test_what_holds_for_any_two_levels(data: st.DataObject, seeds_a: int, seeds_b: int, users: int) -> None:
    value = st.sampled_from([0.0, 0.0, 0.0, 1.0, 0.5, 0.63, 0.1, 1e-9, -3.0])
    a, b = (
        level(*(data.draw(st.lists(value, min_size=users, max_size=users)) for _ in range(seeds)))
        for seeds in (seeds_a, seeds_b)
    )
    answer, swapped = compare(a, b, draws=99), compare(b, a, draws=99)
    assert 0 < answer.p_value <= 1
    assert answer.low <= answer.difference <= answer.high
    assert swapped.p_value == answer.p_value
    assert (swapped.difference, swapped.low, swapped.high) == (-answer.difference, -answer.high, -answer.low)
    assert swapped.effect_size == -answer.effect_size
    mean, low, high = mean_interval(a, draws=99)
    assert low <= mean <= high


def test_the_mean_lies_in_its_interval_to_the_last_digit() -> None:
    mean, low, high = mean_interval(
        level([0.0, 0.0, 0.0, -3.0, -3.0, 0.63], [0.0, 0.63, -3.0, 0.0, 0.0, -3.0]), draws=99
    )
    assert low <= mean <= high


@pytest.mark.slow
def test_run_effects_are_not_mistaken_for_a_difference() -> None:
    rates = rejections(World(users=100, seeds=3, run_effect=4.0), 200, {"ours": ours, "users only": users_only})
    assert rates["users only"] > 0.25
    assert rates["ours"] < 0.09


# -- what cannot be compared -------------------------------------------------------------------------------------------


def test_levels_that_were_measured_on_other_units_are_refused() -> None:
    a, b = level([1, 2, 3, 4]), level([1, 2, 3])
    with pytest.raises(UserError, match="b, seed 0: 3 of its 3 units are among the 4 units of a; compare runs on the"):
        compare(a, b, names=("a", "b"))
    with pytest.raises(UserError, match="a, seed 1: 3 of its 3 units"):
        compare({**a, 1: b[0]}, a, names=("a", "b"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "first: no values, because none of its trials has finished"),
        (level([1.0]), "1 unit: at least two"),
        (level([1.0, math.nan]), "values are not finite numbers"),
        ({0: pd.Series([1.0, 2.0], index=[5, 5])}, "seed 0: duplicate units"),
    ],
)
def test_what_is_no_level_is_refused(values: dict[int, pd.Series], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(values, values)


# -- families ----------------------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_keeps_the_order_and_never_flatters(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    assert sorted(adjusted) == [q for _, q in sorted(zip(p_values, adjusted, strict=True))]


def test_all_pairs_are_one_family() -> None:
    rng = np.random.default_rng(10)
    levels = {name: random_level(rng, 2, 60, plus) for name, plus in (("a", 0.0), ("b", 0.0), ("c", 3.0))}
    pairs = all_pairs(levels, "test/sequential/ndcg_at_10")
    assert [(p.first, p.second) for p in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {p.metric for p in pairs} == {"test/sequential/ndcg_at_10"}
    with pytest.raises(ValueError, match="with_holm"):
        _ = pairs[0].distinguishable
    corrected = with_holm(pairs)
    assert [p.p_adjusted for p in corrected] == holm([p.p_value for p in pairs])
    assert [p.distinguishable for p in corrected] == [False, True, True]
    assert [dataclasses.replace(p, p_adjusted=None) for p in corrected] == pairs


def test_relative_to_nothing_is_no_number() -> None:
    answer = Comparison("a", "b", "m", 1.0, 0.0, 1.0, 0.5, 1.5, 0.01, 1.0, 3, 10)
    assert math.isnan(answer.relative)


def test_two_datasets_agree_on_an_order_or_do_not() -> None:
    first = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "only here": 9.0}
    assert rank_agreement(first, {"d": 8.0, "c": 7.0, "b": 6.0, "a": 5.0}) == (1.0, pytest.approx(2 / 24))
    tau, _ = rank_agreement(first, {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0})
    assert tau == -1.0
    assert abs(rank_agreement(first, {"a": 1.0, "b": 1.0, "c": 2.0, "d": 2.0})[0]) == pytest.approx(4 / math.sqrt(24))
    with pytest.raises(UserError, match="1 levels in common"):
        rank_agreement(first, {"a": 1.0})


# -- units -------------------------------------------------------------------------------------------------------------


def rows_of(rng: np.random.Generator, users: int = 40) -> pd.DataFrame:
    """Rows as an evaluator writes them, for two splits, with a text that repeats its user and item."""
    words = ["the", "colour", "is", "nice", "and", "bright", "fit"]
    frames = []
    for split in ("valid", "test"):
        for task in ("sequential", "direct"):
            who = {"task": task, "template": "A-3", "split": split, "user": range(1, users + 1), "item": 7}
            frames.append(pd.DataFrame({**who, "rank": rng.integers(0, 15, users)}))
        texts, references = ([" ".join(rng.choice(words, 6)) for _ in range(users)] for _ in range(2))
        frames.append(
            pd.DataFrame(
                {
                    "task": "explanation",
                    "template": "C-3",
                    "split": split,
                    "user": [1, *range(1, users)],
                    "item": 7,
                    "prediction": texts,
                    "reference": references,
                    "sentence_bleu_4": sentence_bleus(references, texts),
                    "rouge_l": rouge_of(references, texts, "rouge_l"),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def test_the_mean_over_units_is_the_metric() -> None:
    rows = rows_of(np.random.default_rng(11))
    metrics = summarise(rows, 20)
    ranking = ("hit_rate_at_1", "hit_rate_at_5", "hit_rate_at_10", "ndcg_at_5", "ndcg_at_10")
    names = [
        f"{split}/{task}/{name}" for split in ("valid", "test") for task in ("sequential", "direct") for name in ranking
    ]
    names += [f"{split}/explanation/{name}" for split in ("valid", "test") for name in ("rouge_l", "sentence_bleu_4")]
    for name in names:
        values = unit_values(rows, name)
        assert values.mean() == pytest.approx(metrics[name], abs=1e-12), name
        assert values.index.is_unique
        assert len(values) == 40


def test_texts_of_one_user_and_item_are_matched_by_their_reference() -> None:
    rows = rows_of(np.random.default_rng(12))
    values = unit_values(rows, "test/explanation/rouge_l")
    assert values.index.names == ["user", "item", "number"]
    backwards = unit_values(rows[::-1], "test/explanation/rouge_l")
    pd.testing.assert_series_equal(values, backwards)


def test_a_probe_has_a_value_per_item() -> None:
    probe = pd.DataFrame(
        {
            "task": "probe",
            "template": ["colour", "colour", "form"],
            "split": "test",
            "item": [3, 2, 3],
            "value": [1, 0, 0.5],
        }
    )
    rows = pd.concat([rows_of(np.random.default_rng(13)), probe], ignore_index=True)
    assert unit_values(rows, "probe/colour").to_dict() == {2: 0.0, 3: 1.0}
    assert unit_values(rows, "probe/form").to_dict() == {3: 0.5}


@pytest.mark.parametrize(
    "metric", ["test/explanation/bleu_4", "cost/seconds", "probe/size", "test/explanation/ndcg_at_5"]
)
def test_a_metric_that_is_no_mean_over_units_is_refused(metric: str) -> None:
    with pytest.raises(UserError, match=f"{metric}"):
        unit_values(rows_of(np.random.default_rng(14)), metric)
