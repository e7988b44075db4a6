"""From prompts to token arrays, all rows at once.

Shape letters: B prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vip5core.prompts.prompt import Layout, Sample, part_lengths, source_parts, target_parts
from vip5core.prompts.tables import PromptTables


@dataclass(frozen=True)
class CompiledSamples:
    """Prompts and targets as ragged token arrays, row after row, to be padded in any grouping."""

    tokens: np.ndarray  # [source tokens]
    starts: np.ndarray  # [source tokens], bool: whether a word starts here
    items: np.ndarray  # [source tokens], the item whose image a token belongs to, 0 at text
    lengths: np.ndarray  # [B]
    target_tokens: np.ndarray  # [target tokens]
    target_lengths: np.ndarray  # [B]
    tasks: np.ndarray  # [B], str


def compile_samples(samples: Sequence[Sample], tables: PromptTables, layout: Layout) -> CompiledSamples:
    """Assemble prompts from their tokenised segments, all rows at once; no text is processed."""
    parts = [np.append(source_parts(sample, tables, layout), tables.sections["eos"]) for sample in samples]
    targets = [target_parts(sample, tables) for sample in samples]
    rows, flat = np.repeat(np.arange(len(parts)), [len(p) for p in parts]), np.concatenate(parts)
    sizes = part_lengths(flat, tables, layout)
    is_image = flat < 0
    segments = np.maximum(flat, 0)
    # The position of every token in the tables: its segment's offset plus its position in the segment.
    begins = np.cumsum(sizes) - sizes
    source = np.repeat(tables.offsets[segments] - begins, sizes) + np.arange(sizes.sum())
    at_image = np.repeat(is_image, sizes)
    source[at_image] = 0
    tokens = np.where(at_image, tables.placeholder, tables.tokens[source])
    starts = tables.starts_word[source] | at_image  # every image token is a word of its own
    items = np.repeat(np.where(is_image, -flat, 0), sizes)

    eos = np.array([tables.eos])
    target_tokens: list[np.ndarray] = []
    target_lengths: list[int] = []
    for target in targets:
        ids = np.concatenate([tables.ids(segment) for segment in target])[: layout.max_target_tokens - 1]
        target_tokens += [ids, eos]
        target_lengths.append(len(ids) + 1)
    return CompiledSamples(
        tokens=tokens,
        starts=starts,
        items=items,
        lengths=np.bincount(rows, weights=sizes, minlength=len(parts)).astype(np.int64),
        target_tokens=np.concatenate(target_tokens),
        target_lengths=np.array(target_lengths),
        tasks=np.array([sample.template.task for sample in samples]),
    )
