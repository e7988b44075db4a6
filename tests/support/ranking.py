"""The ranked items of given prompts, by an evaluator's own ranker."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vip5core.decoding import StepDecoder
from vip5core.evaluation.evaluate import Evaluator
from vip5core.model import VIP5
from vip5core.prompts import Sample


def ranked_items(evaluator: Evaluator, model: VIP5, samples: Sequence[Sample], task: str) -> list[list[int]]:
    """The ranked items of each of `samples`, all of one task."""
    lists: dict[int, list[int]] = {}
    for batches in evaluator.batches(samples, task, model):
        rows = [int(row) for batch in batches for row in batch.rows]
        asked = [samples[row] for row in rows]
        with torch.inference_mode():
            states = model.eval().encode(batches)
            decoder = StepDecoder(model.backbone, states, [batch.attention_mask for batch in batches])
            ranked = evaluator.ranker(decoder, asked, "test")
        lists |= {row: answer.items for row, answer in zip(rows, ranked, strict=True)}
    return [lists[row] for row in range(len(samples))]
