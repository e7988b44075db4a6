"""Cases: the prompt as it was read, the answer that the test counted, and what was near in training."""

from __future__ import annotations

import numpy as np
import pytest
from support.trained import train_in

from vip5core.data.dataset import Dataset, open_dataset
from vip5core.home import Home
from vip5core.prompts import pad
from vip5core.prompts.compile import compile_samples
from vip5core.serving import ModelFiles, TrainedModel, Word, answer_cases, nearest_items, questions_about, read_words
from vip5core.trial.result import TrialResult


@pytest.fixture(scope="module")
def model(trained: ModelFiles) -> TrainedModel:
    return TrainedModel(trained, open_dataset(trained.dataset))


@pytest.mark.slow
def test_words_are_those_that_the_model_counts(model: TrainedModel) -> None:
    inputs = model.components
    samples = [sample for task in model.config.tasks for sample in questions_about(model, task, range(1, 9))]
    layout = inputs.layout(model.config)
    compiled = compile_samples(samples, inputs.tables, layout)
    for row, words in enumerate(read_words(samples, inputs.tables, layout, inputs.backbone.tokenizer)):
        batch = pad(compiled, np.array([row]), inputs.tables, layout)
        assert sum(len(word.pieces) for word in words) == batch.input_ids.shape[1]
        numbers = [
            number
            for word in words
            for number in (
                range(word.number, word.number + len(word.pieces)) if word.item else [word.number] * len(word.pieces)
            )
        ]
        assert numbers == batch.whole_word_ids[0].tolist()
        assert [word.item for word in words if word.item] == batch.image_items.tolist()


def test_the_words_of_a_history_are_numbers_pictures_and_separators(model: TrainedModel) -> None:
    (case,) = answer_cases(model, questions_about(model, "sequential", [1]))
    text = " ".join("".join(word.pieces) if not word.item else f"[{word.item}]" for word in case.words)
    pictured = model.components.layout(model.config).has_image
    history = " then ".join(f"{item} [{item}]" if pictured[item] else f"{item}" for item in case.sample.history)
    assert text == f"user_1 chose {history} . next choice : </s>"
    assert case.words[-1] == Word(("</s>",), 0)


def test_ranks_and_texts_are_those_of_the_test(model: TrainedModel, trained: ModelFiles) -> None:
    rows = TrialResult.load(trained.trial).per_user
    users = list(range(1, 41))
    for task in ("sequential", "direct"):
        found = {case.sample.user: case.rank for case in answer_cases(model, questions_about(model, task, users))}
        assert found == rows[rows["task"] == task].set_index("user")["rank"].to_dict()
    texts = rows[rows["task"] == "explanation"].set_index(["user", "item"])
    cases = answer_cases(model, questions_about(model, "explanation", users))
    assert len(cases) == texts.index.get_level_values("user").nunique()
    for case in cases:
        row = texts.loc[(case.sample.user, case.sample.item)]
        assert (case.text, case.reference) == (row["prediction"], row["reference"])


@pytest.mark.slow
def test_a_split_by_time_asks_some_users_nothing(trained_by_time: ModelFiles) -> None:
    model = TrainedModel(trained_by_time, open_dataset(trained_by_time.dataset))
    asked = model.dataset.asked_users("test").tolist()
    for task in ("sequential", "direct"):
        questions = questions_about(model, task, range(1, model.dataset.n_users + 1))
        assert [sample.user for sample in questions] == asked
    assert 0 < len(asked) < model.dataset.n_users


@pytest.mark.slow
def test_a_text_only_model_reads_no_pictures(trained_home: Home) -> None:
    files = train_in(trained_home, image_tokens=0, test_users=2)
    model = TrainedModel(files, open_dataset(files.dataset))
    (case,) = answer_cases(model, questions_about(model, "sequential", [1]))
    assert not [word for word in case.words if word.item]


def test_the_nearest_items_are_had_by_the_same_users(shop: Dataset) -> None:
    training = shop.interactions[shop.interactions["split"] == "train"]
    users_of = {item: set(rows) for item, rows in training.groupby("item")["user"]}

    def nearness(one: int, other: int) -> float:
        ours, theirs = users_of.get(one, set()), users_of.get(other, set())
        return len(ours & theirs) / max(len(ours) * len(theirs), 1) ** 0.5

    found = nearest_items(shop, range(1, 11), 4)
    for item, near in found.items():
        others = sorted((nearness(item, other) for other in users_of if other != item), reverse=True)
        assert [round(nearness(item, other), 9) for other in near] == [round(value, 9) for value in others[: len(near)]]
        assert item not in near
