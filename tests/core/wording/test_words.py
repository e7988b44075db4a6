"""Prompts in words: tokenised, they are what the model reads, whatever its item ids are made of."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from support.shop import WITHOUT_IMAGE, random_features
from support.words import tokenise, with_id_tokens

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.sources import options_of, prepare
from vip5core.home import Home
from vip5core.prompts import Layout, PromptTables, compile_samples
from vip5core.serving import read_words
from vip5core.templates import default_templates
from vip5core.vocabulary import TASKS
from vip5core.wording import Sample, dataset_texts, evaluation_samples, prompt_words, target_words

pytestmark = pytest.mark.slow

TEMPLATES = default_templates()
SCHEMES = ("random", "independent", "collaborative+independent", "semantic:text")
USERS = range(1, 13)


@pytest.fixture(scope="module", params=SCHEMES)
def dataset(request: pytest.FixtureRequest, shop_home: Home) -> Dataset:
    options = options_of("minimart:40", id_scheme=request.param)
    return Dataset.load(prepare("minimart:40", None, shop_home, options))


@pytest.fixture(scope="module")
def tables(dataset: Dataset, tokenizer: Any) -> PromptTables:
    return PromptTables.build(dataset, tokenizer, TEMPLATES)


def asked(dataset: Dataset, task: str, max_history: int) -> list[Sample]:
    """What the test asks for a task, by the template that is the default."""
    template = TEMPLATES[getattr(TrialConfig(), f"{task}_template")]
    rows = np.flatnonzero(dataset.explanations["split"] == "test")
    return evaluation_samples(dataset, template, "test", rows if task == "explanation" else USERS, max_history)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("image_tokens", [0, 2])
@pytest.mark.parametrize("max_history", [3, 50])
def test_the_words_tokenised_are_what_the_model_reads_and_writes(
    dataset: Dataset, tables: PromptTables, tokenizer: Any, task: str, image_tokens: int, max_history: int
) -> None:
    samples = asked(dataset, task, max_history)
    has_image = random_features(dataset).has_image & (image_tokens > 0)
    compiled = compile_samples(samples, tables, Layout(image_tokens, has_image))
    longer = with_id_tokens(tokenizer, dataset.n_id_tokens)
    sources = np.split(compiled.tokens, compiled.begins[1:])
    targets = np.split(compiled.target_tokens, compiled.target_begins[1:])
    assert samples
    for sample, source, target in zip(samples, sources, targets, strict=True):
        words = prompt_words(sample, dataset, TEMPLATES, has_image)
        assert tokenise(words, longer, image_tokens) == source.tolist()
        assert tokenise(target_words(sample, dataset), longer, 0) == target.tolist()
    if task == "sequential":  # both kinds of histories: those that max_history cuts, and those that it does not
        histories = [len(dataset.before(user, "test")) for user in USERS]
        assert (max(histories) > max_history) is (max_history == 3)
        assert [len(sample.history) for sample in samples] == [min(length, max_history) for length in histories]


def test_tokens_of_ids_have_names_word_by_word(dataset: Dataset, tables: PromptTables, tokenizer: Any) -> None:
    has_image = random_features(dataset).has_image
    samples = asked(dataset, "direct", 50)
    ids = dataset_texts(dataset)["item"]
    assert len(set(ids)) == dataset.n_items
    for sample, read in zip(samples, read_words(samples, tables, Layout(2, has_image), tokenizer), strict=True):
        written = prompt_words(sample, dataset, TEMPLATES, has_image)
        assert [word.item or "".join(word.pieces) in ids for word in read if word.number] == [
            word if isinstance(word, int) else word in ids for word in written
        ]
        assert [word for word in written if isinstance(word, int)] == [
            item for item in sample.candidates if item not in WITHOUT_IMAGE
        ]


def test_words_need_no_pytorch() -> None:
    script = "import sys, vip5core.wording; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
