"""Popularity and random answer the same questions as models, and score as theory predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.shop import small_components, small_config

from vip5core.baselines import simple
from vip5core.baselines.identity import simple_folder
from vip5core.baselines.simple import evaluate_baseline, run_baseline
from vip5core.data.dataset import Dataset
from vip5core.evaluation.rank import allowed_items
from vip5core.home import Home
from vip5core.metrics import metric
from vip5core.prompts import Sample
from vip5core.trial.result import TrialResult


@pytest.fixture(scope="module")
def questions(shop: Dataset) -> dict[str, list[Sample]]:
    return small_components(shop).evaluator(small_config()).questions("test", None)


@pytest.mark.slow
def test_random_hits_the_target_as_often_as_expected(shop: Dataset, questions: dict[str, list[Sample]]) -> None:
    ranking = {task: questions[task] for task in ("sequential", "direct")}
    scores = [evaluate_baseline("random", shop, ranking, small_config(seed=seed))[0] for seed in range(20)]
    for task, samples in ranking.items():
        chance = np.mean([10 / allowed_items(shop, sample, "test", True).sum() for sample in samples])
        measured = np.mean([score[f"test/{task}/hit_rate_at_10"] for score in scores])
        error = np.sqrt(chance * (1 - chance) / (20 * len(samples)))
        assert abs(measured - chance) < 4 * error


def test_popularity_ranks_by_frequency_in_the_training_split(shop: Dataset, questions: dict[str, list[Sample]]) -> None:
    training = shop.interactions[shop.interactions["split"] == "train"]["item"].value_counts()
    _, rows, _ = evaluate_baseline("popularity", shop, {"sequential": questions["sequential"]}, small_config())
    for row, sample in zip(rows.itertuples(), questions["sequential"], strict=True):
        others = set(range(1, shop.n_items + 1)) - set(shop.before(sample.user, "test").tolist())
        counts = training.reindex(sorted(others), fill_value=0)
        mine = counts[sample.item]
        assert 1 + (counts > mine).sum() <= row.rank <= (counts >= mine).sum()


def test_split_by_time_the_past_is_what_is_popular(shop_by_time: Dataset) -> None:
    asked = small_components(shop_by_time).evaluator(small_config()).questions("test", None)
    rows = evaluate_baseline("popularity", shop_by_time, {"sequential": asked["sequential"]}, small_config()).rows
    assert rows["user"].tolist() == shop_by_time.asked_users("test").tolist()
    begins = shop_by_time.manifest.held_out_splits["valid"].begins
    past = shop_by_time.interactions[shop_by_time.interactions["timestamp"] < begins]["item"].value_counts()
    for row in rows.itertuples():
        others = set(range(1, shop_by_time.n_items + 1)) - set(shop_by_time.before(row.user, "test").tolist())
        counts = past.reindex(sorted(others), fill_value=0)
        assert 1 + (counts > counts[row.item]).sum() <= row.rank <= (counts >= counts[row.item]).sum()


def test_popularity_writes_the_most_frequent_training_explanation(
    shop: Dataset, questions: dict[str, list[Sample]]
) -> None:
    _, rows, _ = evaluate_baseline("popularity", shop, {"explanation": questions["explanation"]}, small_config())
    known = shop.explanations_of("train")["explanation"]
    assert len(set(rows["prediction"])) == 1
    assert known.value_counts()[rows["prediction"][0]] == known.value_counts().max()
    expected = [shop.explanations["explanation"].iat[sample.explanation_row] for sample in questions["explanation"]]
    assert rows["reference"].tolist() == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["popularity", "random"])
def test_a_baseline_is_deterministic_and_its_metrics_are_declared(
    shop: Dataset, questions: dict[str, list[Sample]], name: str
) -> None:
    metrics, rows, lists = evaluate_baseline(name, shop, questions, small_config())
    again, rows_again, lists_again = evaluate_baseline(name, shop, questions, small_config())
    assert metrics == again
    pd.testing.assert_frame_equal(rows, rows_again)
    pd.testing.assert_frame_equal(lists, lists_again)
    assert all(key.startswith("test/") and metric(key).label for key in metrics)
    assert rows.groupby("task").size().to_dict() == {task: len(samples) for task, samples in questions.items()}


def test_random_writes_training_explanations(shop: Dataset, questions: dict[str, list[Sample]]) -> None:
    _, rows, _ = evaluate_baseline("random", shop, {"explanation": questions["explanation"]}, small_config())
    assert set(rows["prediction"]) <= set(shop.explanations_of("train")["explanation"])
    assert len(set(rows["prediction"])) > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["popularity", "random"])
@pytest.mark.parametrize("test_users", [None, 7])
def test_stored_answers_are_those_that_would_be_computed_and_are_not_computed_again(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, test_users: int | None
) -> None:
    config = small_config(test_users=test_users)
    out = run_baseline(name, shop, config, Home(tmp_path))
    assert out == simple_folder(name, shop, config, Home(tmp_path))
    asked = small_components(shop).evaluator(config).questions("test", test_users)
    metrics, rows, lists = evaluate_baseline(name, shop, asked, config)
    stored = TrialResult.load(out)
    assert stored.metrics == metrics
    pd.testing.assert_frame_equal(stored.per_user, rows)
    pd.testing.assert_frame_equal(stored.lists, lists)
    monkeypatch.setattr(simple, "evaluate_baseline", None)  # would fail if called
    assert run_baseline(name, shop, config, Home(tmp_path)) == out


def test_only_settings_that_change_the_answers_give_another_folder(shop: Dataset, tmp_path: Path) -> None:
    def folder(name: str = "random", **settings: object) -> Path:
        return simple_folder(name, shop, small_config(**settings), Home(tmp_path))

    assert {folder(num_beams=20), folder(max_history=7), folder(encoder="RN50"), folder(epochs=9)} == {folder()}
    others = [folder("popularity"), folder(exclude_history=False), folder(test_users=5), folder(seed=3)]
    others += [folder(tasks=("sequential", "direct")), folder(sequential_template="A-1")]
    assert len({folder(), *others}) == 1 + len(others)
