"""Compiling all rows at once gives what compiling them one by one gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shop import random_features, random_sample, shop_tables

from vip5core.config import SamplingOptions
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.prompts import CompiledSamples, Layout, PromptTables, Sample, TrainingSampler, compile_samples
from vip5core.templates import Piece, default_templates

TEMPLATES = default_templates()
Tokens = list[tuple[int, bool, int]]  # id, whether a word starts here, the item whose image it belongs to


@pytest.fixture(scope="module")
def tables(shop: Dataset) -> PromptTables:
    return shop_tables(shop)


def layout(shop: Dataset, image_tokens: int, **limits: int) -> Layout:
    return Layout(image_tokens, random_features(shop).has_image, **limits)


def one_by_one(samples: Sequence[Sample], tables: PromptTables, how: Layout) -> CompiledSamples:
    """The rule, prompt by prompt and piece by piece."""
    sources = [source_tokens(sample, tables, how) for sample in samples]
    targets = []
    for sample in samples:
        ids = [number for piece in sample.template.target for number in tables.ids(segment(piece, sample, tables))]
        targets.append([*ids[: how.max_target_tokens - 1], tables.eos])
    tokens, starts, items = zip(*(token for source in sources for token in source), strict=True)
    return CompiledSamples(
        tokens=np.array(tokens, dtype=np.int32),
        starts=np.array(starts),
        items=np.array(items, dtype=np.int32),
        lengths=np.array(list(map(len, sources))),
        target_tokens=np.array([token for target in targets for token in target], dtype=np.int32),
        target_lengths=np.array(list(map(len, targets))),
        tasks=np.array([sample.template.task for sample in samples]),
    )


def source_tokens(sample: Sample, tables: PromptTables, how: Layout) -> Tokens:
    """The longest prompt that fits, with as many of the newest items of the history as possible."""
    histories = [np.array([], dtype=int)]
    if "history" in sample.template.fields:
        histories = [sample.history[first:] for first in range(max(len(sample.history), 1))]
    prompts = [tokens_with(history, sample, tables, how) for history in histories]
    fitting = [prompt for prompt in prompts if len(prompt) <= how.max_source_tokens]
    if not fitting:
        raise UserError(
            f"a prompt of {len(prompts[0])} tokens does not fit max_source_tokens={how.max_source_tokens}, even "
            "without a history: set fewer train_candidates or image_tokens"
        )
    return fitting[0]


def tokens_with(history: np.ndarray, sample: Sample, tables: PromptTables, how: Layout) -> Tokens:
    tokens: Tokens = []
    for piece in sample.template.source:
        if piece.is_field and piece.text in ("history", "candidates"):
            words = TEMPLATES.separators[piece.text]
            listed = history if piece.text == "history" else sample.candidates
            for position, item in enumerate(listed.tolist()):
                tokens += text(tables.literals[words[sample.separator]], tables) if position else []
                tokens += text(tables.segment("item", item), tables) + image(item, sample, tables, how)
        elif piece.is_field and piece.text == "image":
            tokens += image(sample.item, sample, tables, how)
        else:
            tokens += text(segment(piece, sample, tables), tables)
    return tokens + text(tables.sections["eos"], tables)


def text(number: int, tables: PromptTables) -> Tokens:
    at = range(tables.offsets[number], tables.offsets[number + 1])
    return [(int(tables.tokens[i]), bool(tables.starts_word[i]), 0) for i in at]


def image(item: int, sample: Sample, tables: PromptTables, how: Layout) -> Tokens:
    if sample.placeholders:
        return [(tables.placeholder, True, -1)] * sample.placeholders
    return [(tables.placeholder, True, item)] * (how.image_tokens if how.has_image[item] else 0)


def segment(piece: Piece, sample: Sample, tables: PromptTables) -> int:
    if not piece.is_field:
        return tables.literals[piece.text]
    match piece.text:
        case "user" | "name":
            row = sample.user
        case "item" | "title":
            row = sample.item
        case "answer":
            row = int(sample.answer)
        case "rating":
            row = int(np.clip(round(tables.explanation_ratings[sample.explanation_row]), 1, 5)) - 1
        case _:
            row = sample.explanation_row
    return tables.segment(piece.text, row)


def assert_same(compiled: CompiledSamples, expected: CompiledSamples) -> None:
    for field in fields(CompiledSamples):
        got, wanted = getattr(compiled, field.name), getattr(expected, field.name)
        np.testing.assert_array_equal(got, wanted, err_msg=field.name)
        assert got.dtype == wanted.dtype, field.name


@pytest.mark.slow
@pytest.mark.parametrize("template_id", TEMPLATES.templates)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), image_tokens=st.integers(0, 3), longest=st.integers(1, 12))
def test_every_template_compiles_as_if_its_prompts_came_one_by_one(
    shop: Dataset, tables: PromptTables, template_id: str, seed: int, image_tokens: int, longest: int
) -> None:
    rng = np.random.default_rng(seed)
    samples = [random_sample(TEMPLATES[template_id], shop, rng, longest) for _ in range(4)]
    for sample in samples[:2]:
        sample.placeholders = int(rng.integers(3))
    how = layout(shop, image_tokens, max_target_tokens=int(rng.integers(2, 40)))
    assert_same(compile_samples(samples, tables, how), one_by_one(samples, tables, how))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    limit=st.integers(40, 160),
    names=st.lists(st.sampled_from(list(TEMPLATES.templates)), min_size=1, max_size=12),
)
def test_mixed_prompts_of_which_some_are_too_long_compile_as_if_they_came_one_by_one(
    shop: Dataset, tables: PromptTables, seed: int, limit: int, names: list[str]
) -> None:
    rng = np.random.default_rng(seed)
    samples = [random_sample(TEMPLATES[name], shop, rng, longest=24) for name in names]
    for sample in samples:
        sample.placeholders = int(rng.integers(2))
    how = layout(shop, 2, max_source_tokens=limit, max_target_tokens=8)
    try:
        expected = one_by_one(samples, tables, how)
    except UserError as too_long:
        with pytest.raises(UserError, match=re.escape(str(too_long))):
            compile_samples(samples, tables, how)
    else:
        assert_same(compile_samples(samples, tables, how), expected)


@pytest.mark.parametrize("limit", [1024, 60])
def test_an_epoch_compiles_as_if_its_prompts_came_one_by_one(shop: Dataset, tables: PromptTables, limit: int) -> None:
    options = SamplingOptions(samples_per_user=(2, 1, 1, 2), train_candidates=6)
    samples = TrainingSampler(shop, TEMPLATES, options, seed=0).draw(0)
    how = layout(shop, 2, max_source_tokens=limit)
    compiled = compile_samples(samples, tables, how)
    assert (compiled.lengths.max() == 60) == (limit == 60)  # some histories are cut, and not by more than they must
    assert_same(compiled, one_by_one(samples, tables, how))


def test_a_list_without_items_takes_no_place(shop: Dataset, tables: PromptTables) -> None:
    none = np.array([], dtype=np.int32)
    samples = [
        Sample(TEMPLATES["A-1"], user=1, item=2, history=none),
        Sample(TEMPLATES["A-1"], user=1, item=2, history=np.array([4, 5])),
        Sample(TEMPLATES["B-5"], user=1, item=2, candidates=none),
    ]
    how = layout(shop, 1)
    assert_same(compile_samples(samples, tables, how), one_by_one(samples, tables, how))


def test_stars_are_rounded_to_one_to_five(shop: Dataset, tables: PromptTables) -> None:
    stars = np.array([0.2, 1.5, 2.5, 3.49, 3.51, 5.7])
    samples = [Sample(TEMPLATES["C-3"], user=1, item=2, explanation_row=row) for row in range(len(stars))]
    how, some = layout(shop, 1), replace(tables, explanation_ratings=stars)
    compiled = compile_samples(samples, some, how)
    assert_same(compiled, one_by_one(samples, some, how))
    shown = np.split(compiled.tokens, np.cumsum(compiled.lengths)[:-1])
    for ids, rating in zip(shown, (1, 2, 2, 3, 4, 5), strict=True):
        assert tables.ids(tables.sections["rating"] + rating - 1)[0] in ids


def test_more_prompts_than_are_assembled_at_a_time_stay_in_order(shop: Dataset, tables: PromptTables) -> None:
    samples, how = TrainingSampler(shop, TEMPLATES, SamplingOptions(), seed=0).draw(0)[:700], layout(shop, 1)
    once, thrice = (compile_samples(samples * times, tables, how) for times in (1, 3))
    assert len(samples) == 700
    for field in fields(CompiledSamples):
        expected = np.tile(getattr(once, field.name), 3)
        np.testing.assert_array_equal(getattr(thrice, field.name), expected, err_msg=field.name)
