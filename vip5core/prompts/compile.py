"""From prompts to token arrays, all rows at once; no text is processed.

Shape letters: B prompts.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from vip5core.prompts.assemble import Assembler, Parts
from vip5core.prompts.layout import Layout
from vip5core.prompts.tables import PromptTables
from vip5core.wording import Sample

#: Prompts assembled at a time, so that what is computed on the way stays in the processor's cache.
_ROWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class CompiledSamples:
    """Prompts and targets as ragged token arrays, row after row, to be padded in any grouping."""

    tokens: np.ndarray  # [source tokens], int32
    starts: np.ndarray  # [source tokens], bool: whether a word starts here
    items: np.ndarray  # [source tokens], int32: the item whose image a token belongs to, 0 at text, -1 at placeholders
    lengths: np.ndarray  # [B]
    target_tokens: np.ndarray  # [target tokens], int32
    target_lengths: np.ndarray  # [B]
    tasks: np.ndarray  # [B], str

    @functools.cached_property
    def begins(self) -> np.ndarray:
        """Where each prompt begins in `tokens`. Shape: [B]."""
        return np.cumsum(self.lengths) - self.lengths

    @functools.cached_property
    def target_begins(self) -> np.ndarray:
        """Where each target begins in `target_tokens`. Shape: [B]."""
        return np.cumsum(self.target_lengths) - self.target_lengths


_FIELDS = [field.name for field in fields(CompiledSamples)]


def compile_samples(samples: Sequence[Sample], tables: PromptTables, layout: Layout) -> CompiledSamples:
    """Assemble prompts and targets from their tokenised segments.

    Args:
        samples: The prompts, at least one.
        tables: The dataset's texts, tokenised.
        layout: The layout of prompts.

    Raises:
        UserError: if a prompt does not fit `layout.max_source_tokens` even without a history.
    """
    starts = range(0, len(samples), _ROWS_AT_A_TIME)
    compiled = [_compile(samples[start : start + _ROWS_AT_A_TIME], tables, layout) for start in starts]
    if len(compiled) == 1:
        return compiled[0]
    return CompiledSamples(**{name: np.concatenate([getattr(some, name) for some in compiled]) for name in _FIELDS})


def _compile(samples: Sequence[Sample], tables: PromptTables, layout: Layout) -> CompiledSamples:
    """What `compile_samples` does, of few enough prompts to do it in one go."""
    assembler = Assembler(samples, tables, layout)
    sources, targets = assembler.sources(), assembler.targets()
    at = _positions(sources.parts, sources.sizes, tables)
    images = np.where(assembler.placeholders[sources.rows] > 0, -1, -sources.parts)  # of parts that are one
    items = np.repeat(np.where(sources.parts < 0, images, 0).astype(np.int32), sources.sizes)
    at_image = items != 0
    tokens, starts = tables.tokens[at], tables.starts_word[at]
    tokens[at_image] = tables.placeholder
    starts[at_image] = True  # every image token is a word of its own

    if (targets.lengths > layout.max_target_tokens).any():
        targets = _cut_targets(targets, layout.max_target_tokens)
    return CompiledSamples(
        tokens=tokens,
        starts=starts,
        items=items,
        lengths=sources.lengths,
        target_tokens=tables.tokens[_positions(targets.parts, targets.sizes, tables)],
        target_lengths=targets.lengths,
        tasks=np.array([template.task for template in assembler.templates])[assembler.forms],
    )


def _positions(parts: np.ndarray, sizes: np.ndarray, tables: PromptTables) -> np.ndarray:
    """The position of every token in the tables: its segment's offset plus its position in the segment.

    Images have tokens but no segment: they get the first positions of the tables, which mean nothing.
    """
    begins = np.cumsum(sizes) - sizes
    at = np.repeat(tables.offsets[np.maximum(parts, 0)] - begins, sizes)
    at += np.arange(len(at))
    return at


def _cut_targets(targets: Parts, limit: int) -> Parts:
    """Cut targets to `limit` tokens, of which `</s>`, the last part of a row, is always one."""
    ends = np.cumsum(targets.lengths)
    begins = np.cumsum(targets.sizes) - targets.sizes - (ends - targets.lengths)[targets.rows]  # in its row
    sizes = np.clip(limit - 1 - begins, 0, targets.sizes)
    sizes[np.cumsum(np.bincount(targets.rows)) - 1] = 1  # every row has at least </s>
    return replace(targets, sizes=sizes, lengths=np.minimum(targets.lengths, limit))
