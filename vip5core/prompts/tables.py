"""A dataset's texts, tokenised once: prompts are then put together from integer arrays."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import cast

import numpy as np
from transformers import PreTrainedTokenizerBase

from vip5core.data.dataset import Dataset
from vip5core.prompts.tokenizer import PLACEHOLDER, encode
from vip5core.templates import TemplateSet
from vip5core.vocabulary import MAX_FIELD_TOKENS
from vip5core.wording import ANSWERS, RATINGS, dataset_texts


@dataclass(frozen=True)
class PromptTables:
    """Every text a prompt of this dataset can contain, as token ids; a *segment* is the number of one of them.

    Attributes:
        tokens: token ids of all segments, one after the other. Shape: [tokens], int32.
        starts_word: does a new word start at this token (the whole-word ids count these). Shape: [tokens], bool.
        offsets: where each segment begins in `tokens`. Shape: [segments + 1].
        sections: the first segment of each kind of text.
        literals: segment of each literal of the templates and of each separator.
        templates: the templates these tables were made for.
        n_items: items are 1 … n_items.
        n_id_tokens: the number of tokens that item ids are made of, which have the ids `first_id_token`, …: those that
            follow the tokenizer's; 0 if item ids are numbers, which the tokenizer splits like any text.
        first_id_token: see `n_id_tokens`.
        explanation_ratings: stars of each row of the dataset's explanations.
        placeholder, eos, pad: the token ids for image tokens, the end of a text, and padding.
    """

    tokens: np.ndarray
    starts_word: np.ndarray
    offsets: np.ndarray
    sections: dict[str, int]
    literals: dict[str, int]
    templates: TemplateSet
    n_items: int
    n_id_tokens: int
    first_id_token: int
    explanation_ratings: np.ndarray
    placeholder: int
    eos: int
    pad: int

    @classmethod
    def build(cls, dataset: Dataset, tokenizer: PreTrainedTokenizerBase, templates: TemplateSet) -> PromptTables:
        """Tokenise the dataset's texts and the templates' literals, each text once."""
        literal_texts = list(
            dict.fromkeys(
                [
                    *(p.text for t in templates.templates.values() for p in (*t.source, *t.target) if not p.is_field),
                    *(word for words in templates.separators.values() for word in words),
                ]
            )
        )
        texts: dict[str, list[str]] = {
            "literal": literal_texts,
            "answer": list(ANSWERS),
            "rating": list(RATINGS),
        }
        texts |= dataset_texts(dataset)
        sections: dict[str, int] = {}
        segments: list[np.ndarray] = []
        for section, rows in texts.items():
            sections[section] = len(segments)
            if section == "item" and dataset.n_id_tokens:
                segments += [(len(tokenizer) + ids).astype(np.int32) for ids in dataset.items["id_tokens"]]
            else:
                segments += [ids[:MAX_FIELD_TOKENS] for ids in encode(tokenizer, rows)]
        sections["eos"] = len(segments)
        segments.append(np.array([tokenizer.eos_token_id], dtype=np.int32))
        tokens = np.concatenate(segments)
        offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in segments])])
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        begins = np.array([piece.startswith("▁") for piece in pieces] + [False] * dataset.n_id_tokens)[tokens]
        if dataset.n_id_tokens:  # an item is one word, whatever its id is made of
            begins[offsets[sections["item"] : sections["item"] + dataset.n_items]] = True
        return cls(
            tokens=tokens,
            starts_word=begins,
            offsets=offsets,
            sections=sections,
            literals={text: sections["literal"] + row for row, text in enumerate(literal_texts)},
            templates=templates,
            n_items=dataset.n_items,
            n_id_tokens=dataset.n_id_tokens,
            first_id_token=len(tokenizer),
            explanation_ratings=dataset.explanations["rating"].to_numpy(),
            placeholder=cast(int, tokenizer.convert_tokens_to_ids(PLACEHOLDER)),
            eos=tokenizer.eos_token_id,
            pad=tokenizer.pad_token_id,
        )

    def segment(self, section: str, row: int) -> int:
        """The segment of row `row` of a section; items and users count from 1, the rest from 0."""
        return self.sections[section] + row - (section in ("item", "title", "user", "name"))

    @functools.cached_property
    def sizes(self) -> np.ndarray:
        """The number of tokens of each segment. Shape: [segments]."""
        return np.diff(self.offsets)

    @property
    def item_ids(self) -> list[np.ndarray]:
        """The token ids of each item's id, from item 1 on."""
        first = self.sections["item"]
        return [self.ids(segment) for segment in range(first, first + self.n_items)]

    @functools.cached_property
    def item_tokens(self) -> np.ndarray:
        """The token ids that the items' ids are made of. Shape: [item tokens], int64."""
        return np.unique(np.concatenate(self.item_ids)).astype(np.int64)

    def ids(self, segment: int) -> np.ndarray:
        """The token ids of one segment."""
        return self.tokens[self.offsets[segment] : self.offsets[segment + 1]]
