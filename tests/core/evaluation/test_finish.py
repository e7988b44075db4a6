"""The end of a test: slices by what training has seen, and what is recommended."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from support.shop import small_components, small_config

from vip5core.data.dataset import Dataset
from vip5core.evaluation.finish import Evaluation, finish
from vip5core.evaluation.rank import RankedList
from vip5core.evaluation.results import ranking_rows, summarise
from vip5core.metrics import SLICES, metric
from vip5core.prompts import Sample
from vip5core.templates import default_templates

BEAMS = 10


@pytest.fixture(scope="module")
def found(shop: Dataset) -> Evaluation:
    """The test of an untrained model."""
    inputs = small_components(shop)
    return inputs.evaluator(small_config(tasks=("sequential", "direct"))).test(inputs.model(small_config()))


def recommend(shop: Dataset, lists: dict[int, list[int]]) -> Evaluation:
    """A test in which these lists are recommended to these users."""
    template = default_templates()["A-3"]
    samples = [Sample(template, user=user, item=shop.target(user, "test")) for user in lists]
    ranked = [RankedList(items, [-float(n) for n in range(len(items))]) for items in lists.values()]
    return finish(ranking_rows(samples, "test", [0] * len(lists), lists=ranked), shop, BEAMS)


def test_each_user_is_in_the_slices_that_the_training_split_says(shop: Dataset, found: Evaluation) -> None:
    training = shop.interactions[shop.interactions["split"] == "train"]
    counts = training["item"].value_counts().reindex(range(1, shop.n_items + 1), fill_value=0)
    lengths = training.groupby("user").size()
    threshold = next(n for n in sorted(counts, reverse=True) if counts[counts >= n].sum() >= len(training) / 2)
    for row in found.rows.itertuples():
        seen = counts[row.item]
        assert row.target_slice == ("cold" if seen == 0 else "head" if seen >= threshold else "tail")
        assert row.history_slice == ("long" if lengths[row.user] > lengths.median() else "short")
    assert {"tail", "head"} <= set(found.rows["target_slice"])
    assert {"short", "long"} == set(found.rows["history_slice"])


def test_a_slice_is_a_view_of_the_same_values(found: Evaluation) -> None:
    for task, name in itertools.product(("sequential", "direct"), ("hit_rate_at_1", "hit_rate_at_5", "ndcg_at_10")):
        whole = metric(f"test/{task}/{name}")
        part = found.rows[found.rows["task"] == task]
        for one in SLICES.values():
            mine = part[part[one.column] == one.name]
            key = f"test/{task}/{one.name}/{name}"
            assert (key in found.metrics) == bool(len(mine))
            if len(mine):
                assert found.metrics[key] == pytest.approx(whole.value(mine))
        sizes = part["history_slice"].value_counts(normalize=True)
        parts = [sizes[slice_] * found.metrics[f"test/{task}/{slice_}/{name}"] for slice_ in ("short", "long")]
        assert sum(parts) == pytest.approx(found.metrics[f"test/{task}/{name}"])


def test_lists_are_what_ranks_were_read_from(shop: Dataset, found: Evaluation) -> None:
    lists = found.lists
    assert lists is not None
    assert list(lists) == ["task", "user", "rank", "item", "score", "raw_user", "raw_item"]
    for (task, user), one in lists.groupby(["task", "user"]):
        assert one["rank"].tolist() == list(range(1, len(one) + 1))
        assert len(one) <= BEAMS
        assert one["score"].is_monotonic_decreasing
        row = found.rows[(found.rows["task"] == task) & (found.rows["user"] == user)].iloc[0]
        hit = one.loc[one["item"] == row["item"], "rank"]
        assert (hit.item() if len(hit) else 0) == row["rank"]
    assert lists.groupby("task")["user"].nunique().to_dict() == {"direct": shop.n_users, "sequential": shop.n_users}
    assert lists["raw_item"].astype(str).tolist() == shop.items["raw_id"].iloc[lists["item"] - 1].tolist()
    assert lists["raw_user"].astype(str).tolist() == shop.users["raw_id"].iloc[lists["user"] - 1].tolist()


def test_planted_lists_have_the_values_that_the_definitions_give(shop: Dataset) -> None:
    counts = shop.training_popularity
    items = list(range(1, 13))
    metrics, rows, _ = recommend(shop, {1: items, 2: items[:3]})
    mean = [counts[items[:10]].mean(), counts[items[:3]].mean()]  # the first ten only
    assert rows["popularity_at_10"].tolist() == pytest.approx(mean)
    assert metrics["test/sequential/popularity_at_10"] == pytest.approx(np.mean(mean))
    information = -np.log2(np.maximum(counts[items[:3]], 1) / counts.sum())
    assert rows["novelty_at_10"].iloc[1] == pytest.approx(information.mean())
    assert metrics["test/sequential/coverage_at_10"] == pytest.approx(10 / shop.n_items)
    assert metrics == summarise(rows, BEAMS)


def test_what_is_no_item_is_not_recommended_and_an_empty_list_has_no_value(shop: Dataset) -> None:
    metrics, rows, lists = recommend(shop, {1: [5, shop.n_items + 1, 7, 0], 2: [], 3: [-4]})
    assert lists is not None
    assert lists[["user", "item", "rank"]].to_numpy().tolist() == [[1, 5, 1], [1, 7, 3]]
    assert rows["popularity_at_10"].isna().tolist() == [False, True, True]
    assert metrics["test/sequential/popularity_at_10"] == shop.training_popularity[[5, 7]].mean()
    assert metrics["test/sequential/hit_rate_at_10"] == 0.0  # and still a miss for everybody


def test_explanations_have_neither_slices_nor_lists(shop: Dataset) -> None:
    inputs = small_components(shop)
    config = small_config(tasks=("explanation",), test_users=3)
    metrics, rows, lists = inputs.evaluator(config).test(inputs.model(config))
    assert lists is None
    assert "target_slice" not in rows
    assert not any("coverage" in name for name in metrics)


def test_validation_keeps_no_lists(shop: Dataset) -> None:
    inputs = small_components(shop)
    config = small_config(tasks=("sequential",), validation_users=3)
    evaluator = inputs.evaluator(config)
    rows, _ = evaluator._answer(inputs.model(config), "valid", 3)
    assert "listed" not in rows
    assert isinstance(rows, pd.DataFrame)
    assert not any("cold" in name or "coverage" in name for name in evaluator.validate(inputs.model(config)))
