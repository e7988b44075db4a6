"""A prompt assembled from tokenised segments equals the tokenised prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shop import WITHOUT_IMAGE, random_features, random_sample, shop_tables

from vip5core.data.build import clean_text
from vip5core.data.dataset import Dataset
from vip5core.parity.render import render
from vip5core.prompts import IGNORED, Layout, PromptTables, Sample, compile_samples, pad
from vip5core.templates import default_templates

pytestmark = pytest.mark.slow

TEMPLATES = default_templates()


@pytest.fixture(scope="module")
def tables(tokenizer: Any, shop: Dataset) -> PromptTables:
    return PromptTables.build(shop, tokenizer, TEMPLATES)


def layout(shop: Dataset, image_tokens: int, **limits: int) -> Layout:
    return Layout(image_tokens, random_features(shop).has_image, **limits)


@pytest.mark.parametrize("template_id", TEMPLATES.templates)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), image_tokens=st.integers(0, 3))
def test_compiling_equals_tokenising_the_text(
    shop: Dataset, tables: PromptTables, tokenizer: Any, template_id: str, seed: int, image_tokens: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = [random_sample(TEMPLATES[template_id], shop, rng) for _ in range(3)]
    how = layout(shop, image_tokens)
    batch = pad(compile_samples(rows, tables, how), np.arange(3), tables, how)
    for row, sample in enumerate(rows):
        source, target = render(sample, shop, TEMPLATES, how)
        length = int(batch.attention_mask[row].sum())
        ids = batch.input_ids[row, :length].tolist()
        assert ids == tokenizer(source)["input_ids"]
        assert not batch.input_ids[row, length:].any()
        labels = batch.labels[row]
        assert labels[labels != IGNORED].tolist() == tokenizer(target)["input_ids"]
        # whole words: the text's own words, counted from 1; </s> and padding belong to none
        words = [len(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in source.split()]
        expected = np.repeat(np.arange(1, len(words) + 1), words).tolist()
        assert batch.whole_word_ids[row].tolist() == [*expected, 0, *[0] * (batch.input_ids.shape[1] - length)]
        assert batch.category_ids[row, :length].tolist() == [int(token == tables.placeholder) for token in ids]


@settings(max_examples=40, deadline=None)
@given(titles=st.lists(st.text(max_size=20), min_size=4, max_size=4))
def test_titles_in_any_script_compile_as_they_read(shop: Dataset, tokenizer: Any, titles: list[str]) -> None:
    items = shop.items.head(4).assign(title=[clean_text(title) for title in titles])
    dataset = replace(shop, items=items, users=shop.users.head(1), explanations=shop.explanations.head(0))
    tables = PromptTables.build(dataset, tokenizer, TEMPLATES)
    how = Layout(0, np.zeros(5, dtype=bool))
    rows = [Sample(TEMPLATES["B-4"], user=1, item=item) for item in range(1, 5)]
    compiled = compile_samples(rows, tables, how)
    for sample, ids in zip(rows, np.split(compiled.tokens, np.cumsum(compiled.lengths)), strict=False):
        assert ids.tolist() == tokenizer(render(sample, dataset, TEMPLATES, how)[0])["input_ids"]


@pytest.mark.parametrize("template_id", TEMPLATES.templates)
def test_each_image_stands_behind_its_item(shop: Dataset, tables: PromptTables, template_id: str) -> None:
    sample = random_sample(TEMPLATES[template_id], shop, np.random.default_rng(5))
    how = layout(shop, 2)
    batch = pad(compile_samples([sample], tables, how), np.arange(1), tables, how)
    fields = TEMPLATES[template_id].fields
    shown = [*(sample.history if "history" in fields else ()), *(sample.candidates if "candidates" in fields else ())]
    shown += [sample.item] if "image" in fields else []
    assert batch.image_items.tolist() == [item for item in shown if item not in WITHOUT_IMAGE]
    for item, positions in zip(batch.image_items.tolist(), batch.image_positions.tolist(), strict=True):
        assert positions == [positions[0], positions[0] + 1]
        if "title" not in fields:
            name = tables.ids(tables.segment("item", item)).tolist()
            assert batch.input_ids[0, positions[0] - len(name) : positions[0]].tolist() == name


@pytest.mark.parametrize("template_id", TEMPLATES.templates)
def test_text_only_prompts_are_the_same_without_images(shop: Dataset, tables: PromptTables, template_id: str) -> None:
    rows = [random_sample(TEMPLATES[template_id], shop, np.random.default_rng(seed)) for seed in range(4)]
    compiled = {n: compile_samples(rows, tables, layout(shop, n)) for n in (0, 2)}
    assert not compiled[0].items.any()
    np.testing.assert_array_equal(compiled[0].tokens, compiled[2].tokens[compiled[2].items == 0])
    np.testing.assert_array_equal(compiled[0].target_tokens, compiled[2].target_tokens)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6), limit=st.integers(45, 120), name=st.sampled_from(["A-1", "A-2", "A-3", "A-7", "A-9"])
)
def test_a_long_history_loses_its_oldest_items_and_nothing_else(
    shop: Dataset, tables: PromptTables, seed: int, limit: int, name: str
) -> None:
    template = TEMPLATES[name]
    sample = random_sample(template, shop, np.random.default_rng(seed), longest=60)
    how = layout(shop, 2, max_source_tokens=limit)

    def tokens(items: np.ndarray, limits: Layout) -> list[int]:
        return compile_samples([replace(sample, history=items)], tables, limits).tokens.tolist()

    cut = tokens(sample.history, how)
    lengths = [len(tokens(sample.history[-kept:], layout(shop, 2))) for kept in range(1, len(sample.history) + 1)]
    most = max((kept for kept, length in enumerate(lengths, 1) if length <= limit), default=1)
    assert cut == tokens(sample.history[-most:], layout(shop, 2))


def test_a_target_is_cut_to_its_limit_and_still_ends(shop: Dataset, tables: PromptTables) -> None:
    sample = random_sample(TEMPLATES["C-1"], shop, np.random.default_rng(0))
    full = compile_samples([sample], tables, layout(shop, 0))
    cut = compile_samples([sample], tables, layout(shop, 0, max_target_tokens=4))
    assert full.target_lengths[0] > 4
    assert cut.target_tokens.tolist() == [*full.target_tokens[:3], tables.eos]


def test_numbers_of_items_and_users_are_distinct(shop: Dataset) -> None:
    tables = shop_tables(shop)
    for section, count in (("item", shop.n_items), ("user", shop.n_users)):
        texts = {tuple(tables.ids(tables.segment(section, n))) for n in range(1, count + 1)}
        assert len(texts) == count
