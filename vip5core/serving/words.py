"""A prompt as the model reads it, word by word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from vip5core.prompts import Layout, PromptTables, Sample, compile_samples
from vip5core.wording import id_token

_START = "▁"


@dataclass(frozen=True)
class Word:
    """A word of a prompt, or the tokens of an image.

    Attributes:
        pieces: What the tokenizer made of it; the placeholders of an image.
        number: Its whole-word id, from 1; the first one of an image, whose tokens are words of their own; 0 at `</s>`.
        item: The item whose image it is; 0 for text.
    """

    pieces: tuple[str, ...]
    number: int
    item: int = 0


def read_words(
    samples: Sequence[Sample], tables: PromptTables, layout: Layout, tokenizer: PreTrainedTokenizerBase
) -> list[list[Word]]:
    """The words of each prompt.

    Args:
        samples: The prompts, at least one.
        tables: The dataset's texts, tokenised.
        layout: The layout of prompts.
        tokenizer: The tokenizer of the texts.
    """
    compiled = compile_samples(samples, tables, layout)
    pieces = _pieces(compiled.tokens.tolist(), tables.first_id_token, tokenizer)
    rows = zip(compiled.begins.tolist(), compiled.lengths.tolist(), strict=True)
    tokens = list(zip(pieces, compiled.starts.tolist(), compiled.items.tolist(), strict=True))
    return [_group(tokens[begin : begin + length]) for begin, length in rows]


def _pieces(tokens: Sequence[int], first_id_token: int, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The names of tokens: those of the tokenizer and, from `first_id_token` on, of the tokens of item ids."""
    known = iter(tokenizer.convert_ids_to_tokens([token for token in tokens if token < first_id_token]))
    return [next(known) if token < first_id_token else id_token(token - first_id_token) for token in tokens]


def _group(tokens: Sequence[tuple[str, bool, int]]) -> list[Word]:
    """The tokens of a prompt as words; `</s>`, its last one, is none."""
    words: list[Word] = []
    count = 0
    for piece, starts, item in tokens[:-1]:
        count += starts
        continues = bool(words) and (words[-1].item == item if item else not starts)
        if continues:
            words[-1] = replace(words[-1], pieces=(*words[-1].pieces, piece))
        else:
            words.append(Word((piece.removeprefix(_START),), count, item))
    return [*words, Word((tokens[-1][0],), 0)]
