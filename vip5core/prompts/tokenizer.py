"""Tokenizers: a backbone's own, or one made from a dataset's words for a built-in backbone.

Both are T5 tokenizers of `transformers`, so that everything downstream is the same code: pieces never cross white
space, `</s>` ends a text, and `<extra_id_0>` serves as the placeholder of an image token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5Tokenizer

from vip5core.errors import UserError, first_line

PLACEHOLDER = "<extra_id_0>"

#: Numbers up to this one are always single pieces of a vocabulary made here, as most of them are in T5's own.
_WHOLE_NUMBERS = 999


def item_piece(item: int) -> str:
    """The piece that stands for an item's number in a vocabulary made here."""
    return f"▁{item}"


def user_piece(user: int) -> str:
    """The piece that stands for a user's id, `user_57`, in a vocabulary made here."""
    return f"▁user_{user}"


def train_tokenizer(
    texts: Iterable[str], vocabulary: int = 2048, items: int = 0, users: int = 0
) -> PreTrainedTokenizerBase:
    """Make a small T5 tokenizer whose pieces come from `texts`.

    The pieces come from byte-pair merges, which unlike the unigram trainer give the same result on every run; the T5
    tokenizer then splits a word into as few of them as possible. The numbers of all items (`57`) and users (`user_57`)
    have a piece of their own each; further numbers above 999 take several.

    Args:
        texts: The texts to learn from: titles, names, reviews and templates.
        vocabulary: The number of pieces to learn, besides numbers and special tokens.
        items: The number of items.
        users: The number of users.
    """
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    words = (" ".join(word for word in text.split() if not word.isdigit()) for text in texts)
    learner.train_from_iterator(words, trainers.BpeTrainer(vocab_size=vocabulary, show_progress=False))
    vocab = learner.get_vocab()
    learned = sorted(vocab, key=vocab.__getitem__)
    numbers = [item_piece(number) for number in range(max(items, _WHOLE_NUMBERS) + 1)]
    numbers += [f"_{number}" for number in range(_WHOLE_NUMBERS + 1)]
    numbers += [user_piece(number) for number in range(1, users + 1)]
    digits = [str(digit) for digit in range(10)]
    pieces = dict.fromkeys(["▁", "_", *numbers, *digits, *(piece for piece in learned if not piece.isdigit())])
    # All pieces have the same score, so the best split of a word is the one with the fewest pieces.
    specials = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
    return T5Tokenizer(vocab=[*specials, *((piece, -10.0) for piece in pieces), (PLACEHOLDER, 0.0)], extra_ids=1)


def load_tokenizer(folder_or_name: str | Path) -> PreTrainedTokenizerBase:
    """A backbone's tokenizer, from a folder or the hub.

    Raises:
        UserError: if there is none, or it lacks the placeholder of image tokens, `<extra_id_0>`.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder_or_name))
    except (OSError, ValueError) as error:
        raise UserError(
            f"no tokenizer in {str(folder_or_name)!r} ({first_line(error)}): give a folder with a T5 and its tokenizer"
        ) from None
    if tokenizer.convert_tokens_to_ids(PLACEHOLDER) in (None, tokenizer.unk_token_id):
        raise UserError(
            f"the tokenizer of {str(folder_or_name)!r} has no {PLACEHOLDER}, the placeholder of image tokens: "
            "use the tokenizer of a T5"
        )
    return tokenizer


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[np.ndarray]:
    """The token ids of each text, without `</s>`."""
    if not texts:
        return []
    ids = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return [np.asarray(row, dtype=np.int32) for row in ids]
