"""Our own tokenizer is the same on every run, restores words and keeps numbers apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vip5core.errors import UserError
from vip5core.prompts import load_tokenizer, train_tokenizer
from vip5core.prompts.tokenizer import PLACEHOLDER, encode

TEXTS = ["the oak kettle is lovely", "a striped kettle 57", "user_ yes no", "die Möwe über 1200 Häusern"]
TOKENIZER = train_tokenizer(TEXTS, vocabulary=80)


def test_training_is_deterministic() -> None:
    again = train_tokenizer(TEXTS, vocabulary=80)
    assert again.get_vocab() == TOKENIZER.get_vocab()
    assert train_tokenizer(TEXTS[:1], vocabulary=80).get_vocab() != TOKENIZER.get_vocab()


@pytest.mark.parametrize("text", [*TEXTS, "user_57 oak 999 1000 12345", "lovely striped kettle"])
def test_known_words_are_decoded_as_written(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"], skip_special_tokens=True) == text


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6, unique=True))
def test_different_numbers_have_different_tokens_as_items_and_as_users(numbers: list[int]) -> None:
    for texts in ([str(n) for n in numbers], [f"user_{n}" for n in numbers]):
        ids = encode(TOKENIZER, texts)
        assert len({tuple(row.tolist()) for row in ids}) == len(numbers)
        assert [TOKENIZER.decode(row) for row in ids] == texts
        assert not any(TOKENIZER.unk_token_id in row for row in ids)


def test_an_item_number_up_to_999_is_one_piece() -> None:
    assert {len(ids) for ids in encode(TOKENIZER, [str(n) for n in range(1000)])} == {1}


def test_pieces_never_cross_white_space() -> None:
    words = ["the", "oak", "kettle", "user_12", "1234"]
    joined = encode(TOKENIZER, [" ".join(words)])[0].tolist()
    assert joined == [token for ids in encode(TOKENIZER, words) for token in ids.tolist()]


def test_the_placeholder_of_an_image_is_one_token_and_texts_end() -> None:
    ids = TOKENIZER(f"oak {PLACEHOLDER} {PLACEHOLDER} kettle")["input_ids"]
    placeholder = TOKENIZER.convert_tokens_to_ids(PLACEHOLDER)
    assert ids.count(placeholder) == 2
    assert ids[-1] == TOKENIZER.eos_token_id
    assert TOKENIZER.pad_token_id == 0


def test_a_saved_tokenizer_is_loaded_as_it_was(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path)
    for text in (*TEXTS, "user_57 oak 999 1000", f"7 {PLACEHOLDER} or 8"):
        assert again(text)["input_ids"] == TOKENIZER(text)["input_ids"]


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokenizer in") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)
