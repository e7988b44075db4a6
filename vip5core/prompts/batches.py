"""From compiled prompts to tensors: grouped by length, padded.

Shape letters: B prompts, L source tokens, T target tokens, M images in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vip5core.prompts.compile import CompiledSamples
from vip5core.prompts.prompt import Layout
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
        target_positions: The positions of the target tokens without padding, in the flattened [B * T]. Shape: [C].
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
    target_positions: Tensor
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
        target_positions=torch.from_numpy(np.flatnonzero(there)),
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


@dataclass(frozen=True)
class Capacity:
    """How much is computed together: what a model keeps for its backward pass, in numbers.

    Attributes:
        limit: The most numbers to keep at a time.
        per_token: The numbers kept of each token.
        per_pair: The numbers kept of each pair of tokens of a prompt, as attention weights.
    """

    limit: float
    per_token: float
    per_pair: float

    def prompts(self, length: int) -> float:
        """How many prompts of `length` tokens reach the limit."""
        return self.limit / (length * (self.per_token + length * self.per_pair))


def micro_batches(
    compiled: CompiledSamples,
    rows: np.ndarray,
    tables: PromptTables,
    layout: Layout,
    capacity: Capacity,
    *,
    overhead: float,
    by_task: bool = False,
) -> list[list[Batch]]:
    """Split a step's mixed prompts into batches of similar length, and these into lists that are computed together.

    The loss is a mean over rows, so accumulating over these gives the gradient of the whole step, without padding a
    30-token explanation to the length of a 500-token candidate list.

    Args:
        compiled: The compiled prompts.
        rows: Those of the step. Shape: [B].
        tables: The dataset's texts, tokenised.
        layout: The layout of prompts.
        capacity: How much is computed together.
        overhead: The fixed cost of a batch, in tokens; see `group_by_length`.
        by_task: Whether prompts of one task only are computed together, as adapters for each task need.

    Returns:
        The batches, which together have every row once.
    """
    parts = [rows]
    if by_task:
        tasks = compiled.tasks[rows]
        parts = [rows[tasks == task] for task in np.unique(tasks)]
    together: list[list[Batch]] = []
    for part in parts:
        free = 0.0  # the share of the capacity that the last list has left
        for group in group_by_length(compiled.lengths[part], overhead):
            members = part[group]
            while len(members):
                share = 1 / capacity.prompts(int(compiled.lengths[members].max()))
                if free < share:
                    together.append([])
                    free = 1.0
                fitting = max(1, int(free / share))
                together[-1].append(pad(compiled, members[:fitting], tables, layout))
                free -= share * len(members[:fitting])
                members = members[fitting:]
    return together


def pad_together(batches: Sequence[Batch], values: Tensor) -> Tensor:
    """The values of the tokens of several batches as one padded batch, zero at padding.

    Args:
        batches: The batches.
        values: One after the other. Shape: [tokens of all batches, padding included, ...].

    Returns:
        Shape: [prompts of all batches, longest L, ...].
    """
    shapes = [batch.input_ids.shape for batch in batches]
    if len(batches) == 1:
        return values.view(*shapes[0], *values.shape[1:])
    padded = values.new_zeros(sum(shape[0] for shape in shapes), max(shape[1] for shape in shapes), *values.shape[1:])
    row = 0
    for shape, part in zip(shapes, values.split([shape.numel() for shape in shapes]), strict=True):
        padded[row : row + shape[0], : shape[1]] = part.view(*shape, *part.shape[1:])
        row += shape[0]
    return padded
