"""Evaluation of a model: which users are asked what, which answers are possible, and how they are summarised."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.ranking import ranked_items
from support.shop import small_components, small_config

from vip5core.data.dataset import Dataset
from vip5core.evaluation.evaluate import Evaluator
from vip5core.evaluation.rank import PaperRanker
from vip5core.evaluation.results import ranking_rows, summarise
from vip5core.metrics import metric
from vip5core.model import VIP5
from vip5core.prompts import Sample
from vip5core.templates import default_templates
from vip5core.trial.components import TrialComponents


@pytest.fixture(scope="module")
def inputs(shop: Dataset) -> TrialComponents:
    return small_components(shop)


@pytest.fixture(scope="module")
def model(inputs: TrialComponents) -> VIP5:
    return inputs.model(small_config())


def test_items_of_the_history_are_left_out_on_request(shop: Dataset, inputs: TrialComponents, model: VIP5) -> None:
    everything = set(range(1, shop.n_items + 1))
    for exclude in (True, False):
        config = small_config(exclude_history=exclude, num_beams=shop.n_items)
        evaluator = inputs.evaluator(config)
        samples = evaluator.questions("test", 6)["sequential"]
        for sample, items in zip(samples, ranked_items(evaluator, model, samples, "sequential"), strict=True):
            had = set(shop.before(sample.user, "test").tolist())
            assert len(items) == len(set(items))
            assert set(items) == (everything - had if exclude else everything)
            assert sample.item in items


def test_a_choice_ranks_exactly_its_candidates(shop: Dataset, inputs: TrialComponents, model: VIP5) -> None:
    evaluator = inputs.evaluator(small_config(num_beams=shop.n_items))
    samples = evaluator.questions("test", 6)["direct"]
    for sample, items in zip(samples, ranked_items(evaluator, model, samples, "direct"), strict=True):
        assert sorted(items) == sorted(sample.candidates.tolist())


def test_the_exact_protocol_ranks_every_allowed_item(shop: Dataset, inputs: TrialComponents, model: VIP5) -> None:
    evaluator = inputs.evaluator(small_config(protocol="exact", exclude_history=False))
    samples = evaluator.questions("test", 4)["sequential"]
    for items in ranked_items(evaluator, model, samples, "sequential"):
        assert sorted(items) == list(range(1, shop.n_items + 1))


def test_the_same_users_are_asked_every_time(inputs: TrialComponents, shop: Dataset) -> None:
    def users(limit: int | None, **changes: int) -> list[int]:
        return [sample.user for sample in inputs.evaluator(small_config(**changes)).questions("valid", limit)["direct"]]

    assert users(None) == users(1000) == list(range(1, shop.n_users + 1))
    assert users(7) == users(7)
    assert len(set(users(7))) == 7
    assert users(7, seed=1) == users(7)  # a seed changes the trial, not who is asked: results of seeds are paired


@pytest.mark.slow
def test_split_by_time_only_users_with_an_item_to_ask_for_are_asked(shop_by_time: Dataset) -> None:
    inputs, config = small_components(shop_by_time), small_config(validation_users=100)
    evaluator, model = inputs.evaluator(config), inputs.model(config)
    rows = evaluator.test(model).rows
    users = shop_by_time.asked_users("test").tolist()
    assert 0 < len(users) < shop_by_time.n_users
    for _, part in rows[rows["task"] != "explanation"].groupby("task"):
        assert part["user"].tolist() == users
        assert part["item"].tolist() == [shop_by_time.target(user, "test") for user in users]
    assert 0 < evaluator.validate(model)["valid/loss"] < 20


@pytest.mark.slow
def test_rows_have_every_question_and_add_up_to_the_metrics(
    inputs: TrialComponents, model: VIP5, shop: Dataset
) -> None:
    config = small_config(test_users=9)
    evaluator = inputs.evaluator(config)
    metrics, rows, _ = evaluator.test(model)
    assert not rows.duplicated(["task", "user", "item"]).any()
    assert rows.groupby("task").size().to_dict() == {"direct": 9, "explanation": 9, "sequential": 9}
    assert set(rows["split"]) == {"test"}
    ranked = rows[rows["task"] != "explanation"]
    assert [shop.target(user, "test") for user in ranked["user"]] == ranked["item"].tolist()
    assert ranked["rank"].between(0, config.num_beams).all()
    hits = ranked[ranked["task"] == "direct"]["rank"].between(1, 5).mean()
    assert metrics["test/direct/hit_rate_at_5"] == pytest.approx(hits)
    assert metrics == summarise(rows, config.num_beams)
    assert rows.loc[rows["task"] == "explanation", ["prediction", "reference", "rouge_l"]].notna().all(axis=None)
    again, rows_again, _ = evaluator.test(model)
    assert again == metrics
    pd.testing.assert_frame_equal(rows, rows_again)


def test_validation_gives_declared_valid_metrics_only(inputs: TrialComponents, model: VIP5) -> None:
    valid = inputs.evaluator(small_config(validation_users=4)).validate(model)
    assert all(key.startswith("valid/") and metric(key).label for key in valid)
    assert valid["valid/loss"] == pytest.approx(
        np.mean([valid[f"valid/{task}/loss"] for task in ("sequential", "direct", "explanation")])
    )


@pytest.mark.slow
def test_batching_does_not_change_the_answers(
    inputs: TrialComponents, model: VIP5, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = inputs.evaluator(small_config(validation_users=6))
    together = evaluator.validate(model)
    monkeypatch.setitem(vars(Evaluator)["batches"].__globals__["_USERS_AT_A_TIME"], "cpu", 1)
    assert evaluator.validate(model) == pytest.approx(together, abs=1e-5)


def test_the_papers_protocol_counts_invalid_and_duplicate_beams(inputs: TrialComponents, model: VIP5) -> None:
    config = small_config(protocol="paper", exclude_history=False, test_users=3, tasks=("sequential",))
    metrics, rows, _ = inputs.evaluator(config).test(model)
    assert {"test/sequential/invalid_share", "test/sequential/duplicate_share"} <= set(metrics)
    assert rows["invalid"].between(0, config.num_beams).all()
    assert metrics["test/sequential/invalid_share"] == pytest.approx(rows["invalid"].mean() / config.num_beams)


def test_free_beams_are_items_invalid_or_duplicates(inputs: TrialComponents) -> None:
    ranked = PaperRanker(inputs.backbone.tokenizer, inputs.tables, num_beams=5)._read(
        ["7", "x", "9", "7", "61"], [-1.0, -2.0, -3.0, -4.0, -5.0]
    )
    assert (ranked.invalid, ranked.duplicates) == (2, 1)
    assert ranked.items == [9, 7, 61]  # a repeated item keeps its last place
    assert ranked.scores == [-3.0, -4.0, -5.0]


def test_a_target_that_is_not_ranked_counts_as_a_miss() -> None:
    template = default_templates()["A-3"]
    samples = [Sample(template, user=user, item=5) for user in (1, 2, 3, 4)]
    rows = ranking_rows(samples, "valid", [1, 0, 3, 11])
    assert rows["reciprocal_rank"].tolist() == pytest.approx([1.0, 0.0, 1 / 3, 1 / 11])
    metrics = summarise(rows, 20)
    assert metrics["valid/sequential/hit_rate_at_1"] == 0.25
    assert metrics["valid/sequential/hit_rate_at_10"] == 0.5
    assert metrics["valid/sequential/ndcg_at_5"] == pytest.approx((1.0 + 0.5) / 4)
    assert set(rows.columns) == {"task", "template", "split", "user", "item", "rank", "reciprocal_rank"}
