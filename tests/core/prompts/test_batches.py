"""Batches grouped by length: the cheapest groups, and the same gradient as one padded batch."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.shop import random_sample, small_components, small_config

from vip5core.data.dataset import Dataset
from vip5core.model import target_losses
from vip5core.prompts import compile_samples, group_by_length, micro_batches, pad
from vip5core.templates import default_templates


def cost(groups: list[np.ndarray], lengths: np.ndarray, overhead: float) -> float:
    return sum(len(group) * lengths[group].max() + overhead for group in groups)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9), st.floats(0, 200))
def test_grouping_is_as_cheap_as_the_best_of_all_cuts(row_lengths: list[int], overhead: float) -> None:
    lengths = np.array(row_lengths)
    groups = group_by_length(lengths, overhead)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    order = np.argsort(lengths)
    inner = range(1, len(lengths))
    best = min(
        cost(np.split(order, cuts), lengths, overhead) for n in range(len(lengths)) for cuts in combinations(inner, n)
    )
    assert abs(cost(groups, lengths, overhead) - best) < 1e-6


def test_overhead_decides_between_one_group_and_many() -> None:
    lengths = np.array([30, 500, 31, 480, 30])
    assert len(group_by_length(lengths, 0.0)) == 4  # equal lengths stay together
    assert len(group_by_length(lengths, 1e6)) == 1
    assert [sorted(group.tolist()) for group in group_by_length(lengths, 100.0)] == [[0, 2, 4], [1, 3]]


def test_micro_batches_give_the_gradient_of_one_padded_batch(shop: Dataset) -> None:
    config = small_config(extra_embeddings="trained", adapter_start="paper")
    inputs = small_components(shop)
    model, layout = inputs.model(config).train(), inputs.layout(config)
    rng = np.random.default_rng(0)
    samples = [random_sample(template, shop, rng) for template in default_templates().templates.values()]
    compiled = compile_samples(samples, inputs.tables, layout)
    one = [pad(compiled, np.arange(len(samples)), inputs.tables, layout)]
    several = micro_batches(samples, inputs.tables, layout, overhead=20.0)
    assert len(several) > 3
    assert sorted(np.concatenate([batch.rows for batch in several]).tolist()) == list(range(len(samples)))
    gradients = []
    for batches in (one, several):
        model.zero_grad()
        for batch in batches:
            (target_losses(model(batch), batch.labels).sum() / len(samples)).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() == model.trainable_state().keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(
            gradients[1][name], expected, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_tasks_are_kept_apart_if_each_has_its_adapter(shop: Dataset) -> None:
    inputs = small_components(shop)
    rng = np.random.default_rng(0)
    samples = [random_sample(template, shop, rng) for template in default_templates().templates.values()]
    batches = micro_batches(samples, inputs.tables, inputs.layout(small_config()), overhead=1e9, by_task=True)
    assert sorted(batch.task for batch in batches) == ["direct", "explanation", "sequential"]
    for batch in batches:
        assert {samples[row].template.task for row in batch.rows} == {batch.task}
    assert micro_batches(samples, inputs.tables, inputs.layout(small_config()), overhead=1e9)[0].task == "mixed"
