"""Metrics: our own, those of libraries, and those of the official notebook with its error cases."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.golden import GOLDEN

from vip5core.errors import UserError
from vip5core.evaluation.rank import parse_item_list
from vip5core.metrics import (
    answer_names,
    compared_names,
    mean_cosine,
    metric,
    pareto_front,
    ranking,
    score,
    slice_targets,
    text,
)
from vip5core.parity import metrics as official

CASES = json.loads((GOLDEN / "metrics.json").read_text("utf-8"))
PARTS = ("ndcg", "map", "recall", "precision", "mrr", "hit")


def ids(cases: list[dict]) -> list[str]:
    return [case["name"] for case in cases]


@pytest.mark.parametrize("case", CASES["evaluate_all"], ids=ids(CASES["evaluate_all"]))
def test_ranking_metrics_of_the_official_code(case: dict) -> None:
    scores = {user: [tuple(pair) for pair in pairs] for user, pairs in case["user_item_scores"]}
    relevant = dict(case["groundtruth"])
    for k, result in case["results"].items():
        ours = official.evaluate_all(scores, relevant, int(k))
        if "error" in result:  # the official code fails on an empty list; we count a miss
            misses = sum(not pairs for pairs in scores.values())
            assert ours["hit"] <= 1 - misses / len(scores)
        else:
            assert ours == pytest.approx({part: result["value"][part] for part in PARTS}, abs=1e-12)
        if all(len(items) == 1 for items in relevant.values()):  # one target: our own metrics say the same
            ranks = np.array(
                [
                    ranking.rank_of(relevant[user][0], [item for item, _ in sorted(pairs, key=lambda p: -p[1])])
                    for user, pairs in scores.items()
                ]
            )
            assert ranking.hits(ranks, int(k)).mean() == pytest.approx(ours["hit"], abs=1e-12)
            assert ranking.gains(ranks, int(k)).mean() == pytest.approx(ours["ndcg"], abs=1e-12)


@pytest.mark.parametrize("case", CASES["notebook_pipeline"], ids=ids(CASES["notebook_pipeline"]))
def test_generated_strings_are_read_as_the_official_notebook_does(case: dict) -> None:
    scores = {user: parse_item_list(row["gen_item_list"]) for user, row in enumerate(case["all_info"])}
    if case.get("error") == "ValueError":
        with pytest.raises(ValueError, match="invalid literal"):
            int(case["all_info"][0]["target_item"])
        return
    relevant = {user: [int(row["target_item"])] for user, row in enumerate(case["all_info"])}
    if case.get("error") == "AssertionError":  # one user wrote no number at all: a miss
        assert official.evaluate_all(scores, relevant, 10)["hit"] == 0.5
        return
    assert [[user, [list(pair) for pair in pairs]] for user, pairs in scores.items()] == case["value"]["ui_scores"]
    for k in (1, 5, 10):
        expected = {part: case["value"][str(k)][part] for part in PARTS}
        assert official.evaluate_all(scores, relevant, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("case", CASES["text"], ids=ids(CASES["text"]))
def test_text_metrics_of_the_official_code(case: dict) -> None:
    references, texts = case["references"], case["generated"]
    if not texts:
        for score in (text.bleu, text.bleu_characters, partial(text.mean_rouge, name="rouge_l"), official.rouge):
            with pytest.raises(ValueError, match="no texts"):
                score(references, texts)
        return
    for order in (1, 2, 4):
        for name, ours in (("word_lists", text.bleu), ("as_in_notebook_strings", text.bleu_characters)):
            expected = case[f"bleu{order}_{name}"]
            # Officially a division by zero where nothing was written or nothing can match: that is a score of 0.
            value = 0.0 if "error" in expected else expected["value"]
            assert ours(references, texts, order) == pytest.approx(value, abs=1e-9)
    assert official.rouge(references, texts) == pytest.approx(case["rouge"]["value"], abs=1e-9)


def test_rouge_of_the_library_differs_from_the_official_one_only_where_words_repeat() -> None:
    same = text.rouge_of(["the colour is nice"], ["the colour is bright"], "rouge_1")
    assert same[0] == pytest.approx(official.rouge(["the colour is nice"], ["the colour is bright"])["rouge_1/f_score"])
    repeated = text.rouge_of(["the cat sat"], ["the the the cat"], "rouge_1")
    assert repeated[0] < official.rouge(["the cat sat"], ["the the the cat"])["rouge_1/f_score"]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=50))
def test_ndcg_and_hit_rate_follow_their_definitions(ranks: list[int]) -> None:
    array = np.array(ranks)
    assert ranking.hits(array, 10).mean() == pytest.approx(np.mean([1 <= r <= 10 for r in ranks]))
    assert ranking.gains(array, 10).mean() == pytest.approx(
        np.mean([1 / math.log2(r + 1) if 1 <= r <= 10 else 0.0 for r in ranks])
    )
    assert ranking.gains(array, 5).mean() <= ranking.hits(array, 5).mean() <= ranking.hits(array, 10).mean()


def test_ties_are_broken_at_random_and_evenly() -> None:
    rng = np.random.default_rng(0)
    scores = np.zeros(11)
    ranks = [ranking.rank_by_score(3, scores, np.arange(1, 11), rng) for _ in range(2000)]
    assert set(ranks) == set(range(1, 11))
    assert np.mean(ranks) == pytest.approx(5.5, abs=0.3)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.integers(1, 12), st.integers(0, 10_000))
def test_the_first_items_are_those_of_the_highest_scores_with_the_target_at_its_rank(
    values: list[int], k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scores = np.array([99, *values])
    allowed = np.flatnonzero(rng.random(len(scores)) < 0.7)
    allowed = allowed[allowed > 0]
    target = int(rng.integers(1, len(scores)))
    rank = ranking.rank_by_score(target, scores, allowed, rng) if target in allowed else ranking.UNRANKED
    first = ranking.first_by_score(scores, allowed, k, target, rank, rng)
    assert len(first) == len(set(first)) == min(k, len(allowed))
    assert set(first) <= set(allowed)
    assert scores[first].tolist() == sorted(scores[allowed], reverse=True)[:k]
    assert ranking.rank_of(target, first) == (rank if rank <= k else ranking.UNRANKED)


def test_a_metric_of_a_slice_is_found_for_any_cutoff_and_only_on_the_test() -> None:
    assert metric("test/sequential/cold/ndcg_at_10").title == "sequential NDCG@10, cold items"
    assert metric("test/direct/long/hit_rate_at_3").label == "HR@3, long histories"
    for unknown in ("test/direct/lukewarm/hit_rate_at_3", "valid/direct/cold/hit_rate_at_10"):
        with pytest.raises(UserError, match="unknown metric"):
            metric(unknown)
    assert not any(metric(name).name.startswith("cold/") for name in (*compared_names(), *answer_names()))


def test_the_head_holds_half_of_the_interactions_and_every_item_as_frequent_as_its_last() -> None:
    counts = np.array([0, 4, 3, 3, 3, 1, 0])  # 14 interactions; 4 + 3 are half, and two more items are as frequent
    assert slice_targets(np.arange(1, 7), counts).tolist() == ["head"] * 4 + ["tail", "cold"]


def test_without_two_images_a_list_has_no_similarity() -> None:
    vectors = np.random.default_rng(0).normal(size=(7, 3))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [units[i] @ units[j] for i in range(7) for j in range(i)]
    lists = np.zeros((3, 8, 3))
    lists[1, 4] = units[0]
    lists[2, :7] = units
    np.testing.assert_allclose(mean_cosine(lists), [np.nan, np.nan, np.mean(pairs)])


@pytest.mark.parametrize(
    "name", ["test/sequential/hit_rate_at_10", "test/explanation/bleu_4", "test/explanation/rouge_l"]
)
def test_a_metric_of_no_rows_is_an_error(name: str) -> None:
    nothing = pd.DataFrame({"rank": [], "reference": [], "prediction": []})
    with pytest.raises(ValueError, match="no rows"):
        metric(name).value(nothing)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_pareto_front_has_the_points_that_none_dominates(values: list[tuple[int, int]]) -> None:
    accuracy, cost = "test/sequential/ndcg_at_10", "cost/train_seconds"
    points = [{accuracy: float(a), cost: float(c)} for a, c in values]
    expected = [
        place
        for place, (a, c) in enumerate(values)
        if not any(a2 >= a and c2 <= c and (a2, c2) != (a, c) for a2, c2 in values)
    ]
    assert pareto_front(points, {name: metric(name) for name in (accuracy, cost)}) == expected


def test_the_score_is_the_mean_of_the_tasks_that_there_are_as_shares() -> None:
    values = {"valid/sequential/ndcg_at_10": 0.1, "valid/explanation/sentence_bleu_4": 50.0, "valid/loss": 7.0}
    assert score(values, "valid") == pytest.approx(0.3)
    assert score({"valid/direct/ndcg_at_10": 0.4, "valid/direct/hit_rate_at_10": 0.9}, "valid") == 0.4
    assert metric("valid/score").better(0.5, 0.4)
