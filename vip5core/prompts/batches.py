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
from vip5core.prompts.layout import Layout
from vip5core.prompts.tables import PromptTables

IGNORED = -100  # the label that cross entropy ignores, at padding


@dataclass(frozen=True)
class Batch:
    """Prompts as tensors, padded on the right.

    Attributes:
        input_ids: Token ids, with the placeholder's at image tokens. Shape: [B, L], int64.
        whole_word_ids: The number of the word that each token belongs to, from 1; 0 at `</s>` and padding.
            Shape: [B, L].
        category_ids: 1 at image tokens and their placeholders, 0 at text. Shape: [B, L].
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
    return pad_groups(compiled, [rows], tables, layout)[0]


def pad_groups(
    compiled: CompiledSamples, groups: Sequence[np.ndarray], tables: PromptTables, layout: Layout
) -> list[Batch]:
    """Pad each group of rows into a batch, all at once, since a step has many small groups."""
    if not groups:
        return []
    sizes, rows = [len(group) for group in groups], np.concatenate(groups)
    lengths, target_lengths = compiled.lengths[rows], compiled.target_lengths[rows]
    tokens = _Padding.of(lengths, compiled.begins[rows], sizes)
    targets = _Padding.of(target_lengths, compiled.target_begins[rows], sizes)
    items = tokens.fill(compiled.items, 0)
    starts = tokens.fill(compiled.starts, 0)
    words = starts.cumsum()
    words -= np.repeat(words[tokens.firsts] - starts[tokens.firsts], tokens.widths)  # counted anew in each row
    words *= tokens.filled
    words[tokens.firsts + lengths - 1] = 0  # </s> belongs to no word
    images = np.flatnonzero(items > 0).reshape(-1, max(layout.image_tokens, 1))  # [images, image tokens]
    in_group = np.searchsorted(images[:, 0], tokens.ends)  # how many images the groups have, up to each
    fields = {
        "input_ids": tokens.split(tokens.fill(compiled.tokens, tables.pad)),
        "whole_word_ids": tokens.split(words),
        "category_ids": tokens.split(items != 0),
        "attention_mask": tokens.split(tokens.filled),
        "labels": targets.split(targets.fill(compiled.target_tokens, IGNORED)),
    }
    batches, row, first_image, start = [], 0, 0, 0
    for number, (size, images_end, end) in enumerate(zip(sizes, in_group, tokens.ends, strict=True)):
        members, here = rows[row : row + size], images[first_image:images_end]
        tasks = set(compiled.tasks[members].tolist())
        labels = fields["labels"][number]
        batches.append(
            Batch(
                **{name: parts[number] for name, parts in fields.items()},
                image_items=torch.from_numpy(items[here[:, 0]]).long(),
                image_positions=torch.from_numpy(here - start),
                target_positions=(labels.flatten() != IGNORED).nonzero().flatten(),
                rows=members,
                task=tasks.pop() if len(tasks) == 1 else "mixed",
            )
        )
        row, first_image, start = row + size, images_end, end
    return batches


@dataclass(frozen=True)
class _Padding:
    """Where the tokens of ragged rows come to stand if each group of rows is padded to its longest; N positions.

    Attributes:
        shapes: The rows and the longest row of each group.
        ends: The position after each group. Shape: [groups].
        widths: The width of each row. Shape: [B].
        firsts: The first position of each row. Shape: [B].
        filled: Whether there is a token at each position. Shape: [N].
        source: Where it is in the ragged array; 0 at padding. Shape: [N].
    """

    shapes: list[tuple[int, int]]
    ends: np.ndarray
    widths: np.ndarray
    firsts: np.ndarray
    filled: np.ndarray
    source: np.ndarray

    @classmethod
    def of(cls, lengths: np.ndarray, begins: np.ndarray, sizes: Sequence[int]) -> _Padding:
        """The padding of rows of `lengths`, which begin at `begins` in their array, in groups of `sizes`."""
        starts = np.cumsum([0, *sizes[:-1]])
        longest = np.maximum.reduceat(lengths, starts)
        widths = np.repeat(longest, sizes)
        ends = np.cumsum(widths)
        firsts = ends - widths
        columns = np.arange(ends[-1]) - np.repeat(firsts, widths)
        filled = columns < np.repeat(lengths, widths)
        source = np.where(filled, columns + np.repeat(begins, widths), 0)
        shapes = list(zip(sizes, longest.tolist(), strict=True))
        return cls(shapes, ends[np.cumsum(sizes) - 1], widths, firsts, filled, source)

    def fill(self, values: np.ndarray, padding: int) -> np.ndarray:
        """The values of the ragged array at their positions. Shape: [N]."""
        return np.where(self.filled, values[self.source], padding)

    def split(self, values: np.ndarray) -> list[Tensor]:
        """The values of each group. Shape of each: its own."""
        parts = torch.from_numpy(values).long().split([rows * width for rows, width in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]


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
    together: list[list[np.ndarray]] = []
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
                together[-1].append(members[:fitting])
                free -= share * len(members[:fitting])
                members = members[fitting:]
    return [pad_groups(compiled, groups, tables, layout) for groups in together]
