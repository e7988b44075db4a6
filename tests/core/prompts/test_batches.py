"""Batches grouped by length: the cheapest groups, and the same gradient as one padded batch."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.shop import random_sample, small_components, small_config

from vip5core.data.dataset import Dataset
from vip5core.model import target_losses
from vip5core.prompts import (
    Capacity,
    CompiledSamples,
    GroupingCosts,
    Layout,
    PromptTables,
    compile_samples,
    group_by_length,
    micro_batches,
    pad,
    pad_groups,
)
from vip5core.templates import default_templates

TABLES = cast(PromptTables, SimpleNamespace(pad=0))


def cost(groups: list[np.ndarray], lengths: np.ndarray, overhead: float, masked_pair: float) -> float:
    total = 0.0
    for group in groups:
        longest, masked = lengths[group].max(), lengths[group].min() < lengths[group].max()
        total += overhead + len(group) * (longest + masked * masked_pair * longest**2)
    return total


@pytest.mark.slow
@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.floats(0, 200), st.floats(0, 0.5))
def test_grouping_is_as_cheap_as_the_best_of_all_cuts(
    row_lengths: list[int], overhead: float, masked_pair: float
) -> None:
    lengths = np.array(row_lengths)
    groups = group_by_length(lengths, GroupingCosts(overhead, masked_pair))
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    order = np.argsort(lengths)
    inner = range(1, len(lengths))
    best = min(
        cost(np.split(order, cuts), lengths, overhead, masked_pair)
        for n in range(len(lengths))
        for cuts in combinations(inner, n)
    )
    assert abs(cost(groups, lengths, overhead, masked_pair) - best) < 1e-6


def test_overhead_decides_between_one_group_and_many() -> None:
    lengths = np.array([30, 500, 31, 480, 30])
    assert len(group_by_length(lengths, GroupingCosts(0.0))) == 4  # equal lengths stay together
    assert len(group_by_length(lengths, GroupingCosts(1e6))) == 1
    assert [sorted(group.tolist()) for group in group_by_length(lengths, GroupingCosts(100.0))] == [[0, 2, 4], [1, 3]]


def test_micro_batches_give_the_gradient_of_one_padded_batch(shop: Dataset) -> None:
    config = small_config(extra_embeddings="trained", adapter_start="paper")
    inputs = small_components(shop)
    model, layout = inputs.model(config).train(), inputs.layout(config)
    rng = np.random.default_rng(0)
    samples = [random_sample(template, shop, rng) for template in default_templates().templates.values()]
    compiled = compile_samples(samples, inputs.tables, layout)
    rows = np.arange(len(samples))
    one = [[pad(compiled, rows, inputs.tables, layout)]]
    several = micro_batches(compiled, rows, inputs.tables, layout, Capacity(200.0, 1.0, 0.0), GroupingCosts(20.0))
    assert len(several) > 2
    assert max(map(len, several)) > 1
    read = [batch for together in several for batch in together]
    assert sorted(np.concatenate([batch.rows for batch in read]).tolist()) == list(range(len(samples)))
    gradients = []
    for pieces in (one, several):
        model.zero_grad()
        for batches in pieces:
            (target_losses(model(batches), batches).sum() / len(samples)).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() == model.trainable_state().keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(
            gradients[1][name], expected, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


@given(st.data())
def test_groups_padded_at_once_are_those_padded_one_by_one(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
    compiled, rng = made_up(lengths), np.random.default_rng(len(lengths))
    compiled.starts[:] = rng.random(sum(lengths)) < 0.5
    compiled.tokens[:] = rng.integers(3, 9, sum(lengths))
    compiled.items[:] = np.where(rng.random(sum(lengths)) < 0.3, 7, 0)
    order = rng.permutation(len(lengths))
    cuts = data.draw(st.sets(st.integers(1, len(lengths) - 1))) if len(lengths) > 1 else set()
    layout = Layout(1, np.zeros(1, bool))
    groups = np.split(order, sorted(cuts))
    for rows, ours in zip(groups, pad_groups(compiled, groups, TABLES, layout), strict=True):
        width = max(lengths[row] for row in rows)
        for place, row in enumerate(rows):
            begin, length = sum(lengths[:row]), lengths[row]
            here, padding = slice(begin, begin + length), [0] * (width - length)
            assert ours.input_ids[place].tolist() == [*compiled.tokens[here].tolist(), *padding]
            words = [*np.cumsum(compiled.starts[here])[:-1].tolist(), 0]  # </s> belongs to no word
            assert ours.whole_word_ids[place].tolist() == [*words, *padding]
            assert ours.attention_mask[place].tolist() == [1] * length + padding
            assert ours.category_ids[place].tolist() == [*(compiled.items[here] > 0).tolist(), *padding]
        assert ours.rows.tolist() == rows.tolist()
        assert ours.category_ids.flatten()[ours.image_positions.flatten()].all()
        assert len(ours.image_items) == ours.category_ids.sum()
        assert ours.labels.flatten()[ours.target_positions].tolist() == [1] * len(rows)


def test_tasks_are_kept_apart_if_each_has_its_adapter(shop: Dataset) -> None:
    inputs, layout = small_components(shop), small_components(shop).layout(small_config())
    rng = np.random.default_rng(0)
    samples = [random_sample(template, shop, rng) for template in default_templates().templates.values()]
    compiled, rows = compile_samples(samples, inputs.tables, layout), np.arange(len(samples))
    everything = Capacity(1e9, 1.0, 1.0)
    pieces = micro_batches(compiled, rows, inputs.tables, layout, everything, GroupingCosts(1e9), by_task=True)
    assert [len(batches) for batches in pieces] == [1, 1, 1]
    assert sorted(batches[0].task for batches in pieces) == ["direct", "explanation", "sequential"]
    for (batch,) in pieces:
        assert {samples[row].template.task for row in batch.rows} == {batch.task}
    ((mixed,),) = micro_batches(compiled, rows, inputs.tables, layout, everything, GroupingCosts(1e9))
    assert mixed.task == "mixed"


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
    st.floats(1, 1e5),
    st.floats(0, 5),
)
def test_what_is_computed_together_stays_within_the_capacity(lengths: list[int], limit: float, per_pair: float) -> None:
    compiled, capacity = made_up(lengths), Capacity(limit, 1.0, per_pair)
    rows, layout = np.arange(len(lengths)), Layout(0, np.zeros(1, bool))
    pieces = micro_batches(compiled, rows, TABLES, layout, capacity, GroupingCosts(5.0))
    assert sorted(row for batches in pieces for batch in batches for row in batch.rows) == list(range(len(lengths)))
    for batches in pieces:
        kept = sum(b.input_ids.numel() * (1 + per_pair * b.input_ids.shape[1]) for b in batches)
        assert kept <= limit * 1.001 or [len(batch) for batch in batches] == [1]


def made_up(lengths: list[int]) -> CompiledSamples:
    """Prompts of these lengths, each with a target of one token."""
    total = sum(lengths)
    return CompiledSamples(
        tokens=np.full(total, 3, np.int32),
        starts=np.ones(total, bool),
        items=np.zeros(total, np.int32),
        lengths=np.array(lengths),
        target_tokens=np.full(len(lengths), 1, np.int32),
        target_lengths=np.ones(len(lengths), np.int64),
        tasks=np.full(len(lengths), "sequential"),
    )
