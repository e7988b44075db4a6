"""From compiled prompts to tensors: grouped by length, padded.

Shape letters: B prompts, L source tokens, T target tokens, M images in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vip5core.prompts.compile import CompiledSamples, compile_samples
from vip5core.prompts.prompt import Layout, Sample
from vip5core.prompts.tables import PromptTables

IGNORED = -100  # the label that cross entropy ignores, at padding


@dataclass(frozen=True)
class Batch:
    """Prompts as tensors, padded on the right.

    Attributes:
        input_ids: Token ids, with the placeholder's at image tokens. Shape: [B, L], int64.
        whole_word_ids: The number of the word that each token belongs to, from 1; 0 at `</s>` and padding.
            Shape: [B, L].
        category_ids: 1 at image tokens, 0 at text. Shape: [B, L].
        attention_mask: 1 at tokens, 0 at padding. Shape: [B, L].
        image_items: The item of each image, in reading order. Shape: [M].
        image_positions: The positions of each image's tokens in the flattened [B * L]. Shape: [M, image tokens].
        labels: Target ids, `IGNORED` at padding. Shape: [B, T].
        rows: The samples of the batch, as positions in the list that was compiled. Shape: [B].
        task: The task of all rows, or "mixed".
    """

    input_ids: Tensor
    whole_word_ids: Tensor
    category_ids: Tensor
    attention_mask: Tensor
    image_items: Tensor
    image_positions: Tensor
    labels: Tensor
    rows: np.ndarray
    task: str

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        tensors = {
            name: value.to(device, non_blocking=True) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return Batch(**tensors, rows=self.rows, task=self.task)


def pad(compiled: CompiledSamples, rows: np.ndarray, tables: PromptTables, layout: Layout) -> Batch:
    """Pad the given rows into one batch."""
    lengths, ends = compiled.lengths[rows], np.cumsum(compiled.lengths)
    width = int(lengths.max())
    here = np.arange(width)[None, :] < lengths[:, None]  # [B, L]
    source = ((ends[rows] - lengths)[:, None] + np.arange(width)[None, :])[here]  # [tokens]
    input_ids = np.full(here.shape, tables.pad, dtype=np.int64)
    input_ids[here] = compiled.tokens[source]
    starts = np.zeros(here.shape, dtype=np.int64)
    starts[here] = compiled.starts[source]
    whole_word_ids = np.cumsum(starts, axis=1) * here
    whole_word_ids[np.arange(len(rows)), lengths - 1] = 0  # </s> belongs to no word
    items = np.zeros(here.shape, dtype=np.int64)
    items[here] = compiled.items[source]
    positions = np.flatnonzero(items).reshape(-1, max(layout.image_tokens, 1))  # [M, image tokens]

    target_lengths, target_ends = compiled.target_lengths[rows], np.cumsum(compiled.target_lengths)
    there = np.arange(int(target_lengths.max()))[None, :] < target_lengths[:, None]  # [B, T]
    labels = np.full(there.shape, IGNORED, dtype=np.int64)
    labels[there] = compiled.target_tokens[
        ((target_ends[rows] - target_lengths)[:, None] + np.arange(there.shape[1])[None, :])[there]
    ]
    tasks = set(compiled.tasks[rows].tolist())
    return Batch(
        input_ids=torch.from_numpy(input_ids),
        whole_word_ids=torch.from_numpy(whole_word_ids),
        category_ids=torch.from_numpy((items > 0).astype(np.int64)),
        attention_mask=torch.from_numpy(here.astype(np.int64)),
        image_items=torch.from_numpy(items.reshape(-1)[positions[:, 0]]),
        image_positions=torch.from_numpy(positions),
        labels=torch.from_numpy(labels),
        rows=rows,
        task=tasks.pop() if len(tasks) == 1 else "mixed",
    )


def group_by_length(lengths: np.ndarray, overhead: float) -> list[np.ndarray]:
    """Split rows into the groups that are cheapest to compute if each is padded to its longest row.

    A group of n rows costs n · (its longest row) + `overhead`; the best split of the sorted rows is found exactly, by
    dynamic programming.

    Args:
        lengths: The number of tokens of each row. Shape: [B].
        overhead: The fixed cost of a group, in tokens.

    Returns:
        The row numbers of each group, shorter rows first.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order].astype(np.float64)
    best = np.zeros(len(order) + 1)  # best[j]: cost of the first j rows
    cut = np.zeros(len(order) + 1, dtype=np.int64)
    for j in range(1, len(order) + 1):
        costs = best[:j] + (j - np.arange(j)) * ordered[j - 1] + overhead
        cut[j] = int(costs.argmin())
        best[j] = costs[cut[j]]
    groups = []
    end = len(order)
    while end:
        groups.append(order[cut[end] : end])
        end = cut[end]
    return groups[::-1]


def micro_batches(
    samples: Sequence[Sample], tables: PromptTables, layout: Layout, *, overhead: float, by_task: bool = False
) -> list[Batch]:
    """Split a batch of mixed prompts into a few padded batches of similar length.

    The loss is a mean over rows, so accumulating over these gives the gradient of the whole batch, without padding a
    30-token explanation to the length of a 500-token candidate list.

    Args:
        samples: The prompts of the batch.
        tables: The dataset's texts, tokenised.
        layout: The layout of prompts.
        overhead: The fixed cost of a micro-batch, in tokens; see `group_by_length`.
        by_task: Whether each micro-batch has prompts of one task only, as adapters for each task need.

    Returns:
        The batches, which together have every row once.
    """
    compiled = compile_samples(samples, tables, layout)
    parts = [np.arange(len(samples))]
    if by_task:
        parts = [np.flatnonzero(compiled.tasks == task) for task in np.unique(compiled.tasks)]
    groups = [part[group] for part in parts for group in group_by_length(compiled.lengths[part], overhead)]
    return [pad(compiled, group, tables, layout) for group in groups]
