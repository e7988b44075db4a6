"""One user in a report: the prompt that the model read, and the list that it gave."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from vip5platform.analysis.record import RecordedTrial, StudyRecord
from vip5platform.analysis.results import StudyResults, load_results
from vip5platform.report.blocks import Card, Code, Text
from vip5platform.report.document import document
from vip5platform.report.render import html
from vip5platform.report.sections import example
from vip5platform.report.sections.search import StoredSearch

from vip5core.data.dataset import Dataset, open_dataset
from vip5core.home import Home
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
    read = [word.item or "".join(word.pieces) for word in case.words if word.number]
    shown = [part for word in card.prompt for part in ([word] if isinstance(word, int) else word.split())]
    assert re.sub(r"\W", "", "".join(map(str, shown))) == re.sub(r"\W", "", "".join(map(str, read)))
    assert [word for word in shown if isinstance(word, int)] == [word for word in read if isinstance(word, int)]
    assert any(isinstance(word, int) for word in shown)
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


def test_the_page_has_the_card_with_its_pictures_and_text_forms_have_none(
    results: StudyResults, trained: ModelFiles
) -> None:
    page = html.render(document(results, StoredSearch()))
    card = card_of(results)
    assert page.count('<li class="target">') == (card.target in [item for item, _ in card.best])
    assert all(f'class="p p{word}"' in page for word in card.prompt if isinstance(word, int))
    assert f"vip5 show {trained.trial.name[:8]}" in page
    assert not any(section.name == "example" for section in document(results).sections)


def test_a_text_only_prompt_has_no_pictures(shop: Dataset, results: StudyResults) -> None:
    config = results.cells[0].results[0].config.model_copy(update={"image_tokens": 0})
    assert not any(isinstance(word, int) for word in example._prompt(shop, config, "sequential", 1))


def test_long_lists_are_cut_in_their_middle(shop: Dataset, results: StudyResults) -> None:
    config = results.cells[0].results[0].config
    words = list(example._prompt(shop, config, "direct", 1))
    candidates = shop.candidates(1, "test").tolist()
    assert f"… {len(candidates) - 20} more … or" in words
    shown = [word for word in words if isinstance(word, int)]
    pictured = shop.items["image_sha256"].notna().to_numpy()
    assert shown == [item for item in candidates[:10] + candidates[-10:] if pictured[item - 1]]


def test_without_the_dataset_or_lists_there_is_no_card(results: StudyResults) -> None:
    (group,) = results.groups
    gone = replace(results, groups=[replace(group, cells=[replace(group.cells[0], dataset=None)])])
    assert example.blocks(gone) == []
    assert [block.text for block in example.blocks(results) if isinstance(block, Code)] == [
        f"vip5 show {results.cells[0].results[0].folder.name[:8]}"
    ]
