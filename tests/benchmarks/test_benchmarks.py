"""What the benchmarks compare gives the same answers."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from support.ranking import ranked_items

from benchmarks.decoding import evaluation, generation
from benchmarks.planted_answers import declared
from benchmarks.straightforward import straightforward_loss
from benchmarks.subject import Subject
from benchmarks.training_step import batches
from vip5core.data.dataset import Dataset
from vip5core.data.sources import prepare
from vip5core.distributed import WorkerGroup
from vip5core.home import Home
from vip5core.profiling import Stopwatch
from vip5core.prompts import compile_samples
from vip5core.training.loop import accumulate


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    home = Home(tmp_path_factory.mktemp("benchmarks"))
    dataset = Dataset.load(prepare("minimart:60", None, home))
    return Subject(dataset, None, torch.device("cpu"), "float32", 1, size="tiny", settings={"dropout": 0.0})


@pytest.mark.slow
def test_the_straightforward_loop_has_the_same_loss(subject: Subject) -> None:
    model = subject.model.train()
    data = subject.inputs.training_data(subject.config)
    for samples in itertools.islice(batches(subject), 3):
        compiled = compile_samples(samples, data.tables, data.layout)
        rows = np.arange(len(samples))
        ours = accumulate(model, compiled, rows, data, subject.config, WorkerGroup(), Stopwatch())
        theirs = straightforward_loss(subject, samples)
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-5)
    model.zero_grad(set_to_none=True)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["sequential", "direct"])
def test_generate_finds_the_same_items(subject: Subject, task: str) -> None:
    model = subject.model.eval()
    users, evaluator = evaluation(subject, task, 12)
    samples = evaluator.questions("test", users)[task]
    theirs = generation(subject, task, evaluator)()
    ours = ranked_items(evaluator, model, samples, task)
    for row, items in enumerate(ours):
        texts = evaluator.tokenizer.batch_decode(theirs[row], skip_special_tokens=True)
        assert items == [int(text) for text in texts]


def test_what_is_declared_is_true_if_the_better_level_sees_better() -> None:
    rows = [
        ("text-only", "RN50", -1.0, True),
        ("RN101", "ViT-L/14", 2.0, True),
        ("RN50", "ViT-B/16", 3.0, False),
        ("RN50", "popularity", 9.0, True),
    ]
    comparisons = pd.DataFrame(rows, columns=["first", "second", "difference", "distinguishable"])
    assert declared(comparisons) == (["RN50 > text-only"], ["RN101 > ViT-L/14"])
