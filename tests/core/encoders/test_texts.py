"""A text model gives the mean of its last states, whatever stands beside a text in a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from vip5core.encoders.texts import encode_texts, text_model_identity
from vip5core.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT with the tokenizer of a few words."""
    path = tmp_path_factory.mktemp("bert")
    words = {word: place for place, word in enumerate(["[PAD]", "[UNK]", "oak", "chair", "steel", "kettle"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=6,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=300,
    )
    BertModel(config).save_pretrained(path)
    return path


def test_the_states_of_a_text_are_averaged_without_padding(folder: Path) -> None:
    together = encode_texts(str(folder), ["oak chair", "steel", "oak " * 400])
    alone = np.concatenate([encode_texts(str(folder), [text]) for text in ("oak chair", "steel", "oak " * 256)])
    assert together.shape == (3, 8)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    model = BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([[2, 3]])).last_hidden_state
    np.testing.assert_allclose(together[0], states[0].mean(0), atol=1e-6)


def test_a_model_is_known_by_its_files_those_of_its_tokenizer_included(folder: Path) -> None:
    before = text_model_identity(str(folder))
    assert text_model_identity(str(folder)) == before
    file = folder / "tokenizer.json"
    text = file.read_text("utf-8")
    file.write_text(text + "\n", "utf-8")
    changed = text_model_identity(str(folder))
    file.write_text(text, "utf-8")
    assert changed != before


def test_what_is_no_text_model_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        encode_texts(str(tmp_path), ["oak"])
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(UserError, match="name a text model with its tokenizer"):
        encode_texts(str(tmp_path), ["oak"])
