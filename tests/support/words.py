"""Prompts in words, tokenised in the straightforward way."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken

from vip5core.prompts import PLACEHOLDER
from vip5core.wording import id_token


def with_id_tokens(tokenizer: Any, count: int) -> Any:
    """The tokenizer, continued by the tokens of item ids."""
    longer = copy.deepcopy(tokenizer)
    longer.add_tokens([AddedToken(id_token(token), lstrip=True, rstrip=True) for token in range(count)])
    return longer


def tokenise(words: Sequence[str | int], tokenizer: Any, image_tokens: int) -> list[int]:
    """The token ids of a prompt's words with `</s>`, images as so many placeholders."""
    image = " ".join([PLACEHOLDER] * image_tokens)
    ids: list[int] = tokenizer(" ".join(image if isinstance(word, int) else word for word in words))["input_ids"]
    return ids
