"""From prompts to parts, all rows at once: no row is visited on its own.

A template is a row of slots, one for each piece and one for `</s>`. What stands in a slot is read from a column, which
has a value for every prompt; only lists have more than one part in their slot.

Shape letters: B prompts, C columns, F templates, S slots of the longest template, P parts of all prompts, R rows with
a list, I items of these lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from vip5core.errors import UserError
from vip5core.prompts.layout import Layout
from vip5core.prompts.tables import PromptTables
from vip5core.templates import Piece
from vip5core.wording import Sample, stars

_EMPTY, _LITERAL, _USER, _ITEM, _ANSWER, _STARS, _REVIEW, _IMAGE, _HISTORY, _CANDIDATES = range(10)
_N_COLUMNS = 10

_COLUMNS = {
    "user": _USER,
    "name": _USER,
    "item": _ITEM,
    "title": _ITEM,
    "answer": _ANSWER,
    "rating": _STARS,
    "summary": _REVIEW,
    "aspect": _REVIEW,
    "explanation": _REVIEW,
    "image": _IMAGE,
    "history": _HISTORY,
    "candidates": _CANDIDATES,
}

_LISTS: dict[int, tuple[str, Callable[[Sample], np.ndarray | None]]] = {
    _HISTORY: ("history", attrgetter("history")),
    _CANDIDATES: ("candidates", attrgetter("candidates")),
}


@dataclass(frozen=True)
class Parts:
    """The parts of prompts, row after row.

    Attributes:
        parts: A segment number ≥ 0, or minus the item whose image stands there. Shape: [P].
        sizes: The number of tokens of each part. Shape: [P].
        rows: The row of each part, ascending. Shape: [P].
        in_history: Whether a part belongs to a history. Shape: [P], bool.
        lengths: The number of tokens of each row. Shape: [B].
    """

    parts: np.ndarray
    sizes: np.ndarray
    rows: np.ndarray
    in_history: np.ndarray
    lengths: np.ndarray

    def keep(self, kept: np.ndarray) -> Parts:
        """The parts where `kept` is true. Shape: [P], bool."""
        sizes, rows = self.sizes[kept], self.rows[kept]
        return Parts(self.parts[kept], sizes, rows, self.in_history[kept], _sums(sizes, rows, len(self.lengths)))


class Assembler:
    """Puts the parts of prompts and targets in their order."""

    def __init__(self, samples: Sequence[Sample], tables: PromptTables, layout: Layout) -> None:
        self.samples, self.tables, self.layout = samples, tables, layout
        templates = {sample.template.id: sample.template for sample in samples}
        numbers = {template_id: number for number, template_id in enumerate(templates)}
        self.templates = list(templates.values())
        self.forms = np.array([numbers[sample.template.id] for sample in samples])  # [B], positions in `templates`
        self._values = _column_values(samples, tables)
        self._widths = np.ones_like(self._values)  # [C, B], the number of parts in a slot
        self._widths[_EMPTY] = 0
        #: The number of placeholders in the place of an image, and that of tokens in its place. Shape: [B] each.
        self.placeholders = np.fromiter(map(attrgetter("placeholders"), samples), np.int64, len(samples))
        self._image_sizes = np.where(self.placeholders, self.placeholders, layout.image_tokens)
        self._widths[_IMAGE] = self._has_place(-self._values[_IMAGE], slice(None))

    def sources(self) -> Parts:
        """The prompts, of which the oldest items of histories are cut until they fit.

        Raises:
            UserError: if a prompt does not fit even without a history.
        """
        parts = self._fill([template.source for template in self.templates])
        excess = parts.lengths - self.layout.max_source_tokens
        return _cut_histories(parts, excess, self.tables, self.layout) if (excess > 0).any() else parts

    def targets(self) -> Parts:
        """The targets, which may be longer than the layout allows."""
        return self._fill([template.target for template in self.templates])

    def _fill(self, pieces: Sequence[Sequence[Piece]]) -> Parts:
        columns, bases = _slots(pieces, self.tables)
        reads, added = columns[self.forms], bases[self.forms]  # [B, S]
        lists = {}
        for column in _LISTS:
            rows = np.nonzero(reads == column)[0]
            if len(rows):
                lists[column], self._widths[column, rows] = self._list_parts(column, rows)
        cells = reads * len(self.samples) + np.arange(len(self.samples))[:, None]  # [B, S], in the flattened [C, B]
        widths = self._widths.reshape(-1)[cells]  # [B, S]
        parts = np.repeat(added + self._values.reshape(-1)[cells], widths.reshape(-1))
        read = np.repeat(reads, widths.reshape(-1))  # [P]
        for column, listed in lists.items():
            parts[read == column] = listed
        rows = np.repeat(np.arange(len(self.samples)), widths.sum(axis=1))
        sizes = np.where(parts < 0, self._image_sizes[rows], self.tables.sizes[np.maximum(parts, 0)])
        return Parts(parts, sizes, rows, read == _HISTORY, _sums(sizes, rows, len(self.samples)))

    def _list_parts(self, column: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Item, its image, separator, item, its image, …

        Returns:
            The parts of all lists, and the number of parts of each list. Shape: [parts], [R].
        """
        name, items_of = _LISTS[column]
        samples = [self.samples[row] for row in rows.tolist()]
        lists = [items for items in map(items_of, samples) if items is not None]
        assert len(lists) == len(rows), f"a prompt of a template with {{{name}}} has none"
        words = np.array([self.tables.literals[word] for word in self.tables.templates.separators[name]])
        separators = words[np.array([sample.separator for sample in samples]) % len(words)]  # [R]
        lengths = np.array(list(map(len, lists)))
        items = np.concatenate(lists)
        triples = np.empty((len(items), 3), dtype=np.int64)
        triples[:, 0] = self.tables.sections["item"] + items - 1
        triples[:, 1] = -items
        triples[:, 2] = np.repeat(separators, lengths)
        kept = np.ones_like(triples, dtype=bool)
        kept[:, 1] = self._has_place(items, np.repeat(rows, lengths))
        kept[np.cumsum(lengths)[lengths > 0] - 1, 2] = False  # no separator behind the last item
        return triples[kept], _sums(kept.sum(axis=1), np.repeat(np.arange(len(lists)), lengths), len(lists))

    def _has_place(self, items: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
        """Whether tokens stand where the image of each item would in its prompt. Shape of all: [R]; rows of samples."""
        pictured = self.layout.has_image[items] if self.layout.image_tokens else False
        return pictured | (self.placeholders[rows] > 0)


def _sums(values: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    """The sum of the values of each row. Shape: [P], [P] → [rows]."""
    return np.bincount(rows, weights=values, minlength=n_rows).astype(np.int64)


def _column_values(samples: Sequence[Sample], tables: PromptTables) -> np.ndarray:
    """What prompts say in each column, counted from the first segment of a field's section. Shape: [C, B]."""

    def all_of(attribute: str) -> np.ndarray:
        return np.fromiter(map(attrgetter(attribute), samples), np.int64, len(samples))

    items, reviews = all_of("item"), all_of("explanation_row")
    reviewed = np.flatnonzero(reviews >= 0)
    values = np.zeros((_N_COLUMNS, len(samples)), dtype=np.int64)
    values[_USER] = all_of("user") - 1
    values[_ITEM] = items - 1
    values[_ANSWER] = all_of("answer")
    values[_STARS, reviewed] = stars(tables.explanation_ratings[reviews[reviewed]]) - 1
    values[_REVIEW] = reviews
    values[_IMAGE] = -items
    return values


def _slots(pieces: Sequence[Sequence[Piece]], tables: PromptTables) -> tuple[np.ndarray, np.ndarray]:
    """The column that each slot of a template reads, and what is added to its value. Shape: [F, S] each."""
    columns = np.full((len(pieces), max(map(len, pieces)) + 1), _EMPTY)
    bases = np.zeros_like(columns)
    for form, row in enumerate(pieces):
        for slot, piece in enumerate(row):
            columns[form, slot] = _COLUMNS[piece.text] if piece.is_field else _LITERAL
            bases[form, slot] = tables.sections.get(piece.text, 0) if piece.is_field else tables.literals[piece.text]
        columns[form, len(row)], bases[form, len(row)] = _LITERAL, tables.sections["eos"]
    return columns, bases


def _cut_histories(parts: Parts, excess: np.ndarray, tables: PromptTables, layout: Layout) -> Parts:
    """Cut the oldest items of histories until their prompts fit.

    The official code cuts the end of the prompt instead, and with it the newest items and the instruction.

    Args:
        parts: The parts of prompts.
        excess: The number of tokens that each row has too many. Shape: [B].
        tables: The dataset's texts, tokenised.
        layout: The layout of prompts.
    """
    at = np.flatnonzero(parts.in_history & (excess > 0)[parts.rows])  # the parts of the histories in question
    rows, listed = parts.rows[at], parts.parts[at]
    before = np.cumsum(parts.sizes[at]) - parts.sizes[at]
    saved = before - before[np.searchsorted(rows, rows)]  # tokens saved by starting the history here
    is_item = (listed >= tables.sections["item"]) & (listed < tables.sections["item"] + tables.n_items)
    saved = saved[is_item][np.cumsum(is_item) - 1]  # an image and a separator go with the item before them
    enough = saved >= excess[rows]
    fits = excess <= 0
    fits[rows[enough]] = True
    if not fits.all():
        raise UserError(
            f"a prompt of {parts.lengths[~fits][0]} tokens does not fit max_source_tokens={layout.max_source_tokens}, "
            "even without a history: set fewer train_candidates or image_tokens"
        )
    kept = np.ones(len(parts.parts), dtype=bool)
    kept[at] = enough
    return parts.keep(kept)
