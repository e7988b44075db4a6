"""A built-in backbone before its P5 stage: a tokenizer of the dataset's words, and embeddings that start well."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from transformers import T5ForConditionalGeneration

from vip5core.config import P5Config
from vip5core.data.dataset import Dataset
from vip5core.data.vectors import id_token_vectors, item_vectors, user_vectors
from vip5core.model import ID_TOKENS, Backbone, built_in_config, draw_extra_embeddings
from vip5core.prompts import item_piece, train_tokenizer, user_piece
from vip5core.templates import default_templates
from vip5core.wording import dataset_texts

# T5 starts its embeddings at N(0, 1). Adam moves a weight by about the learning rate per step, so they would hardly
# change for thousands of steps; started smaller, and with a higher rate of their own, they need hundreds.
_TOKENS_START, _EXTRA_START = 0.3, 0.1
# The scores of tokens are products with these embeddings; started this large, the last norm lets them differ from the
# first steps on.
_LAST_NORM_START = 4.0


def fresh_backbone(dataset: Dataset, config: P5Config) -> Backbone:
    """An untrained built-in T5 with a tokenizer made from the dataset's words.

    Args:
        dataset: The dataset whose words and numbers it has to know.
        config: The name of the backbone, how its items start, the dropout and the seed.
    """
    templates = default_templates()
    literals = [p.text for t in templates.templates.values() for p in t.source if not p.is_field]
    seen = dataclasses.replace(dataset, explanations=dataset.explanations_of("train"))
    words = [text for field, texts in dataset_texts(seen).items() if field not in ("item", "user") for text in texts]
    numbered = 0 if dataset.n_id_tokens else dataset.n_items
    tokenizer = train_tokenizer(
        [*words, *literals * 100, "user_ " * 100, "yes no " * 100], items=numbered, users=dataset.n_users
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = T5ForConditionalGeneration(built_in_config(config.backbone, len(tokenizer), config.dropout))
        extra = draw_extra_embeddings(model.config.d_model)
        small = {name: _EXTRA_START * table for name, table in extra.items()}
        id_tokens = torch.randn(dataset.n_id_tokens, model.config.d_model)
    with torch.no_grad():
        model.shared.weight.mul_(_TOKENS_START)
        model.decoder.final_layer_norm.weight.fill_(_LAST_NORM_START)
        if config.item_start == "cooccurrence":
            items = item_vectors(dataset, model.config.d_model, config.seed)
            named: list[tuple[Callable[[int], str], np.ndarray]] = [
                (user_piece, user_vectors(dataset, items, config.seed))
            ]
            if dataset.n_id_tokens:
                id_tokens = torch.from_numpy(id_token_vectors(dataset, items)).float()
            else:
                named.append((item_piece, items))
            for piece_of, vectors in named:
                pieces = tokenizer.convert_tokens_to_ids([piece_of(number) for number in range(1, len(vectors))])
                model.shared.weight[pieces] = _TOKENS_START * torch.from_numpy(vectors[1:]).float()
    if dataset.n_id_tokens:
        small[ID_TOKENS] = _TOKENS_START * id_tokens
    return Backbone(model, tokenizer, small)
