"""SASRec on the questions that models are asked: trained once per dataset, its answers stored in a folder.

The folder has the form of a trial's (`vip5core.trial.result`), without weights.
"""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vip5core.baselines.identity import SasrecOptions, ranking_tasks, sasrec_folder
from vip5core.baselines.ranking import ScoreRanker
from vip5core.baselines.sasrec.training import USERS_AT_A_TIME, FittedSasrec, train_sasrec
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.evaluation.evaluate import questions
from vip5core.evaluation.finish import Evaluation, finish
from vip5core.evaluation.rank import allowed_items
from vip5core.evaluation.results import ranking_rows
from vip5core.fingerprint import SASREC_ROOTS, code_identity
from vip5core.home import Home
from vip5core.progress import Progress, no_progress
from vip5core.prompts import Sample
from vip5core.templates import default_templates
from vip5core.trial.result import Content, TrialRecord, TrialResult, package_versions
from vip5core.vocabulary import RANKING_TASKS

_DEFAULTS = SasrecOptions()


def evaluate_sasrec(
    fitted: FittedSasrec, dataset: Dataset, questions: dict[str, list[Sample]], config: TrialConfig, split: str = "test"
) -> Evaluation:
    """Answer the questions of an evaluator; explanations are left out.

    All items that may be offered are ranked, so no target is missing, as it may be from a beam search. Both tasks are
    answered from the whole history before the held-out item, however much of it the prompts show.

    Args:
        fitted: A trained SASRec.
        dataset: The dataset that the questions are about.
        questions: The questions that models are asked (`Evaluator.questions`).
        config: The settings of the models, for the items that may be ranked.
        split: The split of the questions.

    Returns:
        The metrics, the per-user rows and the lists, as from an evaluator.

    Raises:
        ValueError: if no question is one of ranking.
    """
    ranker, frames = ScoreRanker(np.random.default_rng(fitted.options.seed)), []
    for task in [task for task in questions if task in RANKING_TASKS]:
        samples, ranks, lists = questions[task], [], []
        for start in range(0, len(samples), USERS_AT_A_TIME):
            asked = samples[start : start + USERS_AT_A_TIME]
            scores = fitted.scores([dataset.before(sample.user, split) for sample in asked]).numpy()
            for sample, mine in zip(asked, scores, strict=True):
                allowed = allowed_items(dataset, sample, split, config.exclude_history)
                rank, ranked = ranker(sample.item, mine, allowed)
                ranks.append(rank)
                lists.append(ranked)
        frames.append(ranking_rows(samples, split, ranks, lists=lists))
    return finish(pd.concat(frames, ignore_index=True), dataset, config.num_beams)


def run_sasrec(
    dataset: Dataset,
    config: TrialConfig,
    home: Home,
    options: SasrecOptions = _DEFAULTS,
    *,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> Path:
    """Train SASRec, answer the test questions of `config`, and write the folder, unless it exists.

    Args:
        dataset: The dataset to train and test on.
        config: The settings of the models that SASRec is compared with.
        home: The home whose `baselines/` gets the folder.
        options: The options of SASRec.
        device: The device of the network.
        progress: Called after each epoch with the epochs done, their largest number, and the latest metrics.

    Returns:
        The folder, to be read by `TrialResult.load`.

    Raises:
        UserError: if no task of `config` is one of ranking.
        DivergedError: if the loss is not finite.
    """
    out = sasrec_folder(dataset, config, home, options)
    if home.fetch(out).is_dir():
        return out
    questions = _test_questions(dataset, config)
    fitted = train_sasrec(dataset, options, device, progress, exclude_history=config.exclude_history)
    with fitted.stopwatch.measure("test", torch.device(device)):
        test = evaluate_sasrec(fitted, dataset, questions, config)
    record = TrialRecord(
        fingerprint=out.name.removeprefix("sasrec-"),
        code=code_identity(*SASREC_ROOTS),
        dataset=Content(name=dataset.name, fingerprint=dataset.fingerprint),
        options=dataclasses.asdict(options),
        device=str(device),
        host=socket.gethostname(),
        threads=torch.get_num_threads(),
        versions=package_versions(),
    )
    result = TrialResult(out, config, {**test.metrics, **_summarise_training(fitted)}, fitted.history, record)
    result.save(test.rows, lists=test.lists)
    return home.publish(out)


def _test_questions(dataset: Dataset, config: TrialConfig) -> dict[str, list[Sample]]:
    """The test questions of the ranking tasks of `config`.

    Raises:
        UserError: if there is no ranking task.
    """
    if not ranking_tasks(config):
        raise UserError(f"tasks={','.join(config.tasks)}: SASRec only ranks items; add sequential or direct")
    asked = questions(dataset, default_templates(), config, "test", config.test_users)
    return {task: samples for task, samples in asked.items() if task in RANKING_TASKS}


def _summarise_training(fitted: FittedSasrec) -> dict[str, float]:
    """The costs, the size, and the validation metrics of the best epoch."""
    watch, best = fitted.stopwatch, fitted.history[fitted.best_epoch - 1]
    return {
        **{name: value for name, value in best.items() if name.startswith("valid/")},
        **{f"cost/{name}_seconds": watch[name] for name in ("train", "validation", "test")},
        "cost/seconds": watch["train"] + watch["validation"] + watch["test"],
        "model/best_epoch": float(fitted.best_epoch),
        "model/trainable_parameters": float(sum(p.numel() for p in fitted.model.parameters())),
    }
