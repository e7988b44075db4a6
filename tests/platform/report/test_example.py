"""One user in a report: the prompt that the model read, and the list that it gave."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.shop import WITHOUT_IMAGE
from support.words import tokenise
from vip5platform.analysis.record import RecordedTrial, StudyRecord
from vip5platform.analysis.results import StudyResults, load_results
from vip5platform.report.blocks import Card, Code, Section, Text
from vip5platform.report.document import Document, document
from vip5platform.report.render import html
from vip5platform.report.sections import example
from vip5platform.report.sections.search import StoredSearch

from vip5core.data.dataset import Dataset, IdTokens, open_dataset
from vip5core.home import Home
from vip5core.prompts import compile_samples
from vip5core.serving import ModelFiles, TrainedModel, answer_cases, questions_about
from vip5core.trial.result import TrialResult

NDCG = "test/sequential/ndcg_at_10"


def study_of(files: ModelFiles, home: Home) -> StudyResults:
    """A study of one trial."""
    trial = RecordedTrial(
        cell={"encoder": "random"},
        seed=0,
        group="toy",
        fingerprint=files.trial.name,
        dataset=str(files.dataset),
    )
    known = {"kind": "study", "name": "one", "question": "Which?", "key": "k", "command": "vip5 run one"}
    ran = {"commit": "", "dirty": None, "workers": 1, "gpus": 0.0, "cpus": 1.0, "seconds": {}, "settings": {}}
    named = {"factors": ["encoder"], "metrics": [NDCG], "baselines": []}
    return load_results(StudyRecord(**known, **ran, **named, trials=[trial]), home)


@pytest.fixture(scope="module")
def results(trained: ModelFiles, trained_home: Home) -> StudyResults:
    return study_of(trained, trained_home)


def card_of(results: StudyResults) -> Card:
    (card,) = (block for block in example.blocks(results) if isinstance(block, Card))
    return card


def test_the_card_is_what_the_model_read_and_answered(results: StudyResults, trained: ModelFiles) -> None:
    card = card_of(results)
    model = TrainedModel(trained, open_dataset(trained.dataset))
    user = int(next(word for word in card.prompt if str(word).startswith("user_")).removeprefix("user_"))
    (case,) = answer_cases(model, questions_about(model, "sequential", [user]))
    inputs = model.components
    read = compile_samples([case.sample], inputs.tables, inputs.layout(model.config)).tokens.tolist()
    assert tokenise(card.prompt, inputs.backbone.tokenizer, model.config.image_tokens) == read
    images = [word for word in card.prompt if isinstance(word, int)]
    assert images == [word.item for word in case.words if word.item]
    assert images
    assert [item for item, _ in card.best] == case.ranked.items[:10]
    assert [share for _, share in card.best] == pytest.approx(
        [math.exp(score) for score in case.ranked.scores[:10]], rel=1e-3
    )
    assert card.target == case.sample.item


def test_the_user_is_a_hit_if_there_is_one(results: StudyResults, trained: ModelFiles) -> None:
    rows = TrialResult.load(trained.trial).per_user
    hits = rows[(rows["task"] == "sequential") & rows["rank"].between(1, 10)]
    card = card_of(results)
    assert (card.target in [item for item, _ in card.best]) is bool(len(hits))
    said = next(block.text for block in example.blocks(results) if isinstance(block, Text))
    assert ("of the users; this is the first" in said) is bool(len(hits))


@pytest.mark.slow
def test_the_page_has_the_card_with_its_pictures_and_text_forms_have_none(
    results: StudyResults, trained: ModelFiles
) -> None:
    page = html.render(document(results, StoredSearch()))
    card = card_of(results)
    assert page.count('<li class="target">') == (card.target in [item for item, _ in card.best])
    assert all(f'class="p p{word}"' in page for word in card.prompt if isinstance(word, int))
    assert f"vip5 show {trained.trial.name[:8]}" in page
    assert not any(section.name == "example" for section in document(results).sections)


def with_one_cell(study: StudyResults, **changes: Any) -> StudyResults:
    """The same study, whose cell is another one in something."""
    (group,) = study.groups
    return replace(study, groups=[replace(group, cells=[replace(group.cells[0], **changes)])])


def test_a_text_only_prompt_has_no_pictures(results: StudyResults) -> None:
    (result,) = results.cells[0].results.values()
    config = result.config.model_copy(update={"image_tokens": 0})
    card = card_of(with_one_cell(results, results={0: replace(result, config=config)}))
    assert not any(isinstance(word, int) for word in card.prompt)


def test_images_are_those_that_have_features_or_without_the_features_those_that_there_are(
    results: StudyResults, shop: Dataset
) -> None:
    (result,) = results.cells[0].results.values()
    pictured = np.append(False, shop.items["image_sha256"].notna())
    assert set(WITHOUT_IMAGE) <= set(np.flatnonzero(pictured))
    read = example._has_image(results, result, shop)
    assert np.flatnonzero(read != pictured).tolist() == list(WITHOUT_IMAGE)
    gone = replace(result, record=result.record.model_copy(update={"features": "gone"}))
    np.testing.assert_array_equal(example._has_image(results, gone, shop), pictured)


def test_ids_made_of_tokens_are_shown_as_tokens(results: StudyResults, shop: Dataset) -> None:
    ids = [[number // 8, 8 + number % 8] for number in range(shop.n_items)]
    manifest = shop.manifest.model_copy(update={"id_tokens": IdTokens(tokens=16, longest=2)})
    dataset = replace(shop, items=shop.items.assign(id_tokens=ids), manifest=manifest)
    card = card_of(with_one_cell(results, dataset=dataset))
    named = [word for word in card.prompt if isinstance(word, str) and word.startswith("<id_")]
    before = [int(word) for word in card_of(results).prompt if isinstance(word, str) and word.isdigit()]
    assert named == [f"<id_{(item - 1) // 8}><id_{8 + (item - 1) % 8}>" for item in before]
    page = html.render(document(with_one_cell(results, dataset=dataset), StoredSearch()))
    assert f"&lt;id_{(before[0] - 1) // 8}&gt;" in page


def test_the_middle_of_a_long_prompt_is_left_out(results: StudyResults) -> None:
    card = replace(card_of(results), prompt=[f"word{number}" for number in range(100)])
    block = Section("example", example.TITLE, [card])
    page = html.render(Document("Which?", [], "", [block]))
    assert "… 100 words and images in all …" in page
    assert [number for number in range(100) if f"word{number}<" in page or f"word{number} " in page] == [
        *range(48),
        *range(88, 100),
    ]


@pytest.mark.slow
def test_a_page_with_a_card_needs_neither_pytorch_nor_ray(trained: ModelFiles, trained_home: Home) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from vip5core.home import Home\n"
        "from vip5platform.analysis.record import StudyRecord\n"
        "from vip5platform.analysis.results import load_results\n"
        "from vip5platform.report.document import document\n"
        "from vip5platform.report.render import html\n"
        "from vip5platform.report.sections.search import StoredSearch\n"
        "study = load_results(StudyRecord.model_validate_json(sys.argv[1]), Home(Path(sys.argv[2])))\n"
        "assert 'class=\"card\"' in html.render(document(study, StoredSearch()))\n"
        "assert not {'torch', 'transformers', 'ray'} & set(sys.modules), sorted(sys.modules)\n"
    )
    record = study_of(trained, trained_home).record.model_dump_json()
    subprocess.run([sys.executable, "-c", script, record, str(trained_home.root)], check=True)


def test_without_the_dataset_or_lists_there_is_no_card(results: StudyResults) -> None:
    assert example.blocks(with_one_cell(results, dataset=None)) == []
    assert [block.text for block in example.blocks(results) if isinstance(block, Code)] == [
        f"vip5 show {results.cells[0].results[0].folder.name[:8]}"
    ]
