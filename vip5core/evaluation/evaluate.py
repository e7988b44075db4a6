"""Evaluation of a model: validation after each epoch, and one test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.decoding import StepDecoder, greedy
from vip5core.distributed import WorkerGroup
from vip5core.errors import UserError
from vip5core.evaluation.finish import Evaluation, finish
from vip5core.evaluation.rank import ConstrainedRanker, PaperRanker, item_trie
from vip5core.evaluation.results import ranking_rows, summarise, text_rows
from vip5core.metrics import rank_of, score
from vip5core.model import VIP5, grouping_costs, target_losses
from vip5core.prompts import (
    Batch,
    Layout,
    PromptTables,
    Sample,
    compile_samples,
    evaluation_samples,
    group_by_length,
    pad_groups,
)
from vip5core.templates import TemplateSet
from vip5core.vocabulary import RANKING_TASKS, TASKS

#: The most users and source tokens that are decoded together.
_USERS_AT_A_TIME = {"cpu": 64, "cuda": 128}
_TOKENS_AT_A_TIME = {"cpu": 16_384, "cuda": 32_768}


def questions(
    dataset: Dataset, templates: TemplateSet, config: TrialConfig, split: str, limit: int | None
) -> dict[str, list[Sample]]:
    """The prompts of each task of `config`, the same in every trial and seed.

    They are for all users with an item to be asked for (`Dataset.asked_users`), or for `limit` of them.

    Raises:
        UserError: if there are no prompts.
    """
    asked: dict[str, list[Sample]] = {}
    for task in config.tasks:
        rng = np.random.default_rng([dataset.n_users, split == "test", TASKS.index(task)])
        template = templates[getattr(config, f"{task}_template")]
        if task in RANKING_TASKS:
            subjects = dataset.asked_users(split)
        else:
            subjects = np.flatnonzero(dataset.explanations["split"] == split)
        if limit is not None and len(subjects) > limit:
            subjects = np.sort(rng.choice(subjects, limit, replace=False))
        if len(subjects):
            asked[task] = evaluation_samples(dataset, template, split, subjects, config.max_history)
    if not asked:
        raise UserError(
            f"tasks={','.join(config.tasks)}: this dataset has no explanations in its {split} split; "
            "add sequential or direct"
        )
    return asked


class Evaluator:
    """Asks a model for the held-out items and explanations of a dataset.

    Args:
        dataset: The dataset whose held-out items and explanations are asked for.
        tables: The dataset's texts, tokenised.
        layout: The layout of prompts.
        tokenizer: The tokenizer that decodes the generated texts.
        config: The templates, the protocol, the number of beams and of users.
        group: The workers among which the users are divided.
    """

    def __init__(
        self,
        dataset: Dataset,
        tables: PromptTables,
        layout: Layout,
        tokenizer: PreTrainedTokenizerBase,
        config: TrialConfig,
        group: WorkerGroup | None = None,
    ) -> None:
        self.dataset = dataset
        self.tables = tables
        self.layout = layout
        self.tokenizer = tokenizer
        self.config = config
        self.group = group or WorkerGroup()
        self.ranker: ConstrainedRanker | PaperRanker
        if config.protocol == "paper":
            self.ranker = PaperRanker(tokenizer, tables, config.num_beams)
        else:  # with as many beams as items none is left out: the whole catalogue is ranked by likelihood
            beams = config.num_beams if config.protocol == "constrained" else dataset.n_items
            self.ranker = ConstrainedRanker(item_trie(tables), dataset, beams, config.exclude_history)

    def questions(self, split: str, limit: int | None) -> dict[str, list[Sample]]:
        """The prompts that the model is asked; see the function `questions`."""
        return questions(self.dataset, self.tables.templates, self.config, split, limit)

    def validate(self, model: VIP5) -> dict[str, float]:
        """The `valid/` metrics on the validation sample, with the loss of each task; `valid/loss` is their mean.

        `valid/score` is the mean of the tasks' main metrics; see `vip5core.metrics.score`.
        """
        rows, losses = self._answer(model, "valid", self.config.validation_users)
        metrics = {f"valid/{task}/loss": loss for task, loss in losses.items()}
        summary = summarise(rows, self.config.num_beams)
        return {
            "valid/loss": float(np.mean(list(losses.values()))),
            "valid/score": score(summary, "valid"),
            **metrics,
            **summary,
        }

    def test(self, model: VIP5) -> Evaluation:
        """The `test/` metrics, the per-user rows that they summarise, and what is recommended."""
        rows, _ = self._answer(model, "test", self.config.test_users)
        return finish(rows, self.dataset, self.config.num_beams)

    @torch.inference_mode()
    def _answer(self, model: VIP5, split: str, limit: int | None) -> tuple[pd.DataFrame, dict[str, float]]:
        """The per-user rows of every task, and in validation the mean loss of each task."""
        model.eval()
        frames, losses = [], {}
        for task, samples in self.questions(split, limit).items():
            mine = self.group.share(samples)
            frame, total = self._answer_task(model, mine, split, task) if mine else (pd.DataFrame(), 0.0)
            parts = self.group.gather((frame, total))
            frames += [part for part, _ in parts if len(part)]
            losses[task] = sum(part for _, part in parts) / len(samples)
        rows = pd.concat(frames, ignore_index=True)
        return rows.sort_values(["task", "user", "item"], kind="stable", ignore_index=True), losses

    def _answer_task(self, model: VIP5, samples: Sequence[Sample], split: str, task: str) -> tuple[pd.DataFrame, float]:
        frames, total = [], 0.0
        for batches in self.batches(samples, task, model):
            asked = [samples[row] for batch in batches for row in batch.rows]
            with self.decoding(model, batches, task) as (encoded, decoder):
                if split == "valid":  # the test reports no loss
                    total += float(target_losses(model.decode(batches, encoded), batches).sum())
                answer = self._rank if task in RANKING_TASKS else self._explain
                frames.append(answer(decoder, asked, split))
        return pd.concat(frames, ignore_index=True), total

    def _rank(self, decoder: StepDecoder, asked: list[Sample], split: str) -> pd.DataFrame:
        lists = self.ranker(decoder, asked, split)
        ranks = [rank_of(sample.item, ranked.items) for sample, ranked in zip(asked, lists, strict=True)]
        kept = [ranked.first(self.config.num_beams) for ranked in lists] if split == "test" else None
        if isinstance(self.ranker, ConstrainedRanker):
            return ranking_rows(asked, split, ranks, lists=kept)
        return ranking_rows(asked, split, ranks, [r.invalid for r in lists], [r.duplicates for r in lists], kept)

    def _explain(self, decoder: StepDecoder, asked: list[Sample], split: str) -> pd.DataFrame:
        rows = [sample.explanation_row for sample in asked]
        references = self.dataset.explanations["explanation"].iloc[rows].tolist()
        return text_rows(asked, split, self.texts(decoder), references)

    def texts(self, decoder: StepDecoder) -> list[str]:
        """The text that the model writes for each prompt, by greedy decoding."""
        ids = greedy(decoder, self.layout.max_target_tokens)
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return [text.strip() for text in texts]

    @contextmanager
    def decoding(self, model: VIP5, batches: Sequence[Batch], task: str) -> Iterator[tuple[torch.Tensor, StepDecoder]]:
        """The encoder states of batches of one task, and a decoder of their answers, at the trial's precision."""
        bfloat16 = self.config.precision == "bfloat16"
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16), model.adapters_of(task):
            encoded = model.encode(batches)
            yield encoded, StepDecoder(model.backbone, encoded, [batch.attention_mask for batch in batches])

    def batches(self, samples: Sequence[Sample], task: str, model: VIP5) -> Iterator[list[Batch]]:
        """The samples in lists of batches that are decoded together, within the limits of users and tokens."""
        device, costs = model.device, grouping_costs(model)
        if isinstance(self.ranker, ConstrainedRanker):
            self.ranker.trie = self.ranker.trie.to(device)
        compiled = compile_samples(samples, self.tables, self.layout)
        order = np.argsort(compiled.lengths, kind="stable")
        users, tokens = _USERS_AT_A_TIME[device.type], _TOKENS_AT_A_TIME[device.type]
        users = users if task in RANKING_TASKS else 2 * users  # one beam each
        start = 0
        while start < len(order):
            end = start + 1
            while (
                end < len(order) and end - start < users and (end + 1 - start) * compiled.lengths[order[end]] <= tokens
            ):
                end += 1
            rows = order[start:end]
            groups = group_by_length(compiled.lengths[rows], costs)
            batches = pad_groups(compiled, [rows[group] for group in groups], self.tables, self.layout)
            yield [batch.to(device) for batch in batches]
            start = end
