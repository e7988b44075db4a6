"""From compiled prompts to tensors: grouped by length, padded.

Shape letters: B prompts, L source tokens, T target tokens, M images in the batch.
"""

from __future__ import annotations

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
    lengths, target_lengths = compiled.lengths[rows], compiled.target_lengths[rows]
    here, source = _places(compiled.begins[rows], lengths)  # [B, L]
    items = np.where(here, compiled.items[source], 0)
    whole_word_ids = np.cumsum(compiled.starts[source], axis=1) * here
    whole_word_ids[np.arange(len(rows)), lengths - 1] = 0  # </s> belongs to no word
    positions = np.flatnonzero(items).reshape(-1, max(layout.image_tokens, 1))  # [M, image tokens]
    there, target = _places(compiled.target_begins[rows], target_lengths)  # [B, T]
    tasks = set(compiled.tasks[rows].tolist())
    return Batch(
        input_ids=torch.from_numpy(np.where(here, compiled.tokens[source], tables.pad)).long(),
        whole_word_ids=torch.from_numpy(whole_word_ids),
        category_ids=torch.from_numpy((items > 0).astype(np.int64)),
        attention_mask=torch.from_numpy(here.astype(np.int64)),
        image_items=torch.from_numpy(items.reshape(-1)[positions[:, 0]]).long(),
        image_positions=torch.from_numpy(positions),
        labels=torch.from_numpy(np.where(there, compiled.target_tokens[target], IGNORED)).long(),
        target_positions=torch.from_numpy(np.flatnonzero(there)),
        rows=rows,
        task=tasks.pop() if len(tasks) == 1 else "mixed",
    )


def _places(begins: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether there is a token at each position of padded rows, and where it is in a ragged array; 0 at padding."""
    columns = np.arange(int(lengths.max()))
    here = columns < lengths[:, None]
    return here, np.where(here, begins[:, None] + columns, 0)


@dataclass(frozen=True)
class GroupingCosts:
    """What it costs to compute prompts of different lengths together or apart, in tokens that take as long.

    Attributes:
        group: The cost of a group of its own.
        masked_pair: The cost of each pair of tokens of a prompt if there are shorter ones in its group, whose padding a
            mask then hides from attention.
    """

    group: float
    masked_pair: float = 0.0


def group_by_length(lengths: np.ndarray, costs: GroupingCosts) -> list[np.ndarray]:
    """Split rows into the groups that are cheapest to compute if each is padded to its longest row.

    A group of n rows costs n · (its longest row) and what `costs` say; the best split of the sorted rows is found
    exactly, by dynamic programming.

    Args:
        lengths: The number of tokens of each row. Shape: [B].
        costs: The costs of groups and masks.

    Returns:
        The row numbers of each group, shorter rows first.
    """
    widths, counts = np.unique(lengths, return_counts=True)  # rows of equal length stay together
    ends = np.concatenate([[0], np.cumsum(counts)])
    rows_cost = widths * (1 + widths * costs.masked_pair)  # of each row of a group as wide as this
    unmasked = costs.group + counts * widths  # of a group of equal lengths
    best = np.zeros(len(ends))  # best[j]: cost of the rows of the first j widths
    cut = np.zeros(len(ends), dtype=np.int64)
    for j in range(1, len(ends)):
        total = best[:j] + (ends[j] - ends[:j]) * rows_cost[j - 1] + costs.group
        total[j - 1] = best[j - 1] + unmasked[j - 1]
        cut[j] = int(total.argmin())
        best[j] = total[cut[j]]
    order = np.argsort(lengths, kind="stable")
    groups = []
    end = len(widths)
    while end:
        groups.append(order[ends[cut[end]] : ends[end]])
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
    costs: GroupingCosts,
    *,
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
        costs: The costs by which prompts are grouped.
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
        for group in group_by_length(compiled.lengths[part], costs):
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
