"""Ranking and writing: our evaluator, and `generate` of transformers with the same trie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Finding, at_least, interleaved
from benchmarks.subject import Subject
from vip5core.evaluation.evaluate import Evaluator
from vip5core.evaluation.rank import allowed_items
from vip5core.prompts import Batch, Sample, compile_samples, pad

#: Users that `generate` gets at a time, as the official code does.
_AT_A_TIME = 16

#: An untrained model never ends a text: every explanation is as long as `generate` makes one by default.
_EXPLANATION_TOKENS = 20


def sequential(subject: Subject) -> list[Finding]:
    """The next item, 20 beams over the catalogue without the user's history."""
    return _compare(subject, "sequential", ours=128, theirs=16, target=4)


def direct(subject: Subject) -> list[Finding]:
    """100 candidates, 20 beams."""
    return _compare(subject, "direct", ours=32, theirs=8, target=None)


def explanation(subject: Subject) -> list[Finding]:
    """Greedy texts of 20 tokens."""
    return _compare(subject, "explanation", ours=128, theirs=32, target=None)


def _compare(subject: Subject, task: str, ours: int, theirs: int, target: float | None) -> list[Finding]:
    """Time our evaluator on `ours` users and `generate` on `theirs` of them."""
    our_users, our_way = evaluation(subject, task, ours)
    their_users, their_way = evaluation(subject, task, theirs)
    generate = generation(subject, task, their_way)
    subject.model.eval()
    our_time, their_time = interleaved(
        subject.clock, range(subject.repeats), lambda _: our_way.test(subject.model), lambda _: generate()
    )
    unit = f"{'texts' if task == 'explanation' else 'users'} per {subject.clock.name}"
    our_rate, their_rate = our_users / our_time, their_users / their_time
    return [at_least(task, unit, our_rate, their_rate, our_rate / their_rate, target)]


def evaluation(subject: Subject, task: str, users: int) -> tuple[int, Evaluator]:
    """An evaluator that asks about one task, and how many users (or texts) it asks about."""
    config = subject.config.model_copy(
        update={"tasks": (task,), "test_users": users, "max_target_tokens": _EXPLANATION_TOKENS}
    )
    evaluator = subject.inputs.evaluator(config)
    return len(evaluator.questions("test", users)[task]), evaluator


def generation(subject: Subject, task: str, evaluator: Evaluator) -> Callable[[], dict[int, Tensor]]:
    """`generate` for the questions of `evaluator`; what it finds for each, best first. Shape: [beams, length]."""
    samples = evaluator.questions("test", evaluator.config.test_users)[task]
    compiled = compile_samples(samples, evaluator.tables, evaluator.layout)
    order = np.argsort(compiled.lengths, kind="stable")

    prepared = []  # the tries are made beforehand: their making is not timed
    for rows in np.array_split(order, math.ceil(len(order) / _AT_A_TIME)):
        settings = _GREEDY if task == "explanation" else _beams(evaluator, [samples[row] for row in rows])
        prepared.append((rows, settings))

    @torch.inference_mode()
    def generate() -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        for rows, settings in prepared:
            batch = pad(compiled, rows, evaluator.tables, evaluator.layout).to(subject.device)
            best = _generate(subject, batch, settings)
            found |= zip(rows.tolist(), best.view(len(rows), -1, best.shape[1]), strict=True)
        return found

    return generate


_GREEDY: dict[str, Any] = {"num_beams": 1, "max_new_tokens": _EXPLANATION_TOKENS}


def _generate(subject: Subject, batch: Batch, settings: dict[str, Any]) -> Tensor:
    with torch.autocast(subject.device.type, torch.bfloat16, enabled=subject.precision == "bfloat16"):
        return subject.model.backbone.generate(
            inputs_embeds=subject.model.embed([batch]).unflatten(0, batch.input_ids.shape),
            attention_mask=batch.attention_mask,
            do_sample=False,
            **settings,
        )


def _beams(evaluator: Evaluator, samples: Sequence[Sample]) -> dict[str, Any]:
    """The settings of a beam search over each user's own trie."""
    tables, config = evaluator.tables, evaluator.config
    tries = []
    for sample in samples:
        root: dict = {}
        for item in np.flatnonzero(allowed_items(evaluator.dataset, sample, "test", config.exclude_history)):
            node = root
            for token in (*tables.ids(tables.segment("item", int(item))).tolist(), tables.eos):
                node = node.setdefault(token, {})
        tries.append(root)

    def allowed(user: int, prefix: Tensor) -> list[int]:
        node = tries[user]
        for token in prefix[1:].tolist():
            node = node.get(token, {})
        return list(node) or [tables.pad]

    return {
        "prefix_allowed_tokens_fn": allowed,
        "num_beams": config.num_beams,
        "num_return_sequences": config.num_beams,
        "max_new_tokens": evaluator.ranker.options.max_new_tokens,
        "length_penalty": 0.0,
        "early_stopping": False,
    }
