"""Text models of transformers, by the mean of the states of their last layer, as sentence-transformers pool them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vip5core.encoders.files import digests, files_in, unloadable
from vip5core.encoders.transformers_models import TransformersModel
from vip5core.fingerprint import code_identity, fingerprint

_TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json")
_TEXTS_AT_A_TIME = 64
#: Longer texts are cut: models of sentences know little about longer ones.
_MOST_TOKENS = 256


def text_model_identity(reference: str) -> str:
    """The identity of a text model, with its tokenizer if it is in a folder, and of the code that calls it.

    Raises:
        UserError: if there is no such model.
    """
    folder = Path(reference).expanduser()
    tokenizer = digests(files_in(folder, _TOKENIZER))
    return fingerprint(TransformersModel(reference).fingerprint(), tokenizer, code_identity(__name__))


def encode_texts(reference: str, texts: list[str]) -> np.ndarray:
    """Encode texts, of a model of texts and images by its part for texts. Shape: [texts, width], float32.

    Args:
        reference: a folder, or `ORG/NAME` or `ORG/NAME@REVISION` of the hub.
        texts: the texts.

    Raises:
        UserError: if no text model can be loaded from there.
    """
    source = TransformersModel(reference)
    source.check()
    import torch
    from transformers import AutoModel, AutoTokenizer

    where, revision = source.located()
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, revision=revision, trust_remote_code=False)
        model = AutoModel.from_pretrained(where, revision=revision, trust_remote_code=False).eval()
    except Exception as error:  # of many kinds
        raise unloadable(source.name, error, "name a text model with its tokenizer") from None
    model = model.get_encoder() if model.config.is_encoder_decoder else getattr(model, "text_model", model)
    longest = min(tokenizer.model_max_length, _MOST_TOKENS)
    pooled = []
    with torch.inference_mode():
        for start in range(0, len(texts), _TEXTS_AT_A_TIME):
            batch = tokenizer(
                texts[start : start + _TEXTS_AT_A_TIME],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
            states = model(**batch).last_hidden_state  # [texts, tokens, width]
            mask = batch["attention_mask"][..., None]
            pooled.append((states * mask).sum(1) / mask.sum(1))
    return torch.cat(pooled).float().numpy()
