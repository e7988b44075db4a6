"""Rows added to a T5's vocabulary are seen by every pass and trained; the T5's own table stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from support.tiny import random_backbone
from transformers import T5Config, T5ForConditionalGeneration

from vip5core.config import ModelOptions
from vip5core.model import ID_TOKENS, add_id_tokens, build_vip5, count_parameters, draw_id_tokens, remove_id_tokens

FIRST, ADDED = 37, 5  # of 40 rows the T5 has three that its tokenizer does not use


def untied() -> T5ForConditionalGeneration:
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return T5ForConditionalGeneration(
        T5Config(vocab_size=40, decoder_start_token_id=0, tie_word_embeddings=False, dropout_rate=0.0, **sizes)
    )


def tied() -> T5ForConditionalGeneration:
    return copy.deepcopy(random_backbone(0))


@pytest.mark.parametrize("make", [tied, untied])
def test_the_extended_t5_is_one_with_a_longer_table(make: Callable[[], T5ForConditionalGeneration]) -> None:
    ours, whole = make(), make()
    rows = draw_id_tokens(ours, ADDED, seed=0)
    heads = rows.get("id_token_heads.weight", rows[ID_TOKENS])
    with torch.no_grad():
        whole.resize_token_embeddings(FIRST + ADDED)
        whole.get_input_embeddings().weight[FIRST:] = rows[ID_TOKENS]
        whole.lm_head.weight[FIRST:] = heads
    add_id_tokens(ours, rows, FIRST)
    tokens = torch.tensor([[2, 38, 5, 41, 1], [39, 37, 36, 1, 0]])
    both = [t5.eval()(input_ids=tokens, labels=tokens) for t5 in (ours, whole)]
    assert both[0].logits.shape == (2, 5, FIRST + ADDED)
    torch.testing.assert_close(both[0].logits, both[1].logits)
    removed = remove_id_tokens(ours)
    assert removed.keys() == rows.keys()
    assert all(torch.equal(removed[name], rows[name]) for name in rows)
    fresh = make().eval()(input_ids=tokens.clamp(max=36), labels=tokens.clamp(max=36)).logits
    assert torch.equal(ours.eval()(input_ids=tokens.clamp(max=36), labels=tokens.clamp(max=36)).logits, fresh)
    assert remove_id_tokens(ours) == {}


@pytest.mark.parametrize("tuning", ["adapter", "frozen", "lora", "full"])
def test_the_rows_are_trained_whatever_is_tuned_and_the_table_only_with_everything(tuning: str) -> None:
    options = ModelOptions(tuning=tuning, image_tokens=0, extra_embeddings="trained", reduction_factor=4)
    backbone = tied()
    without = count_parameters(build_vip5(tied(), options))
    model = build_vip5(backbone, options)
    add_id_tokens(model.backbone, draw_id_tokens(backbone, ADDED, seed=0), FIRST)
    count = count_parameters(model)
    assert (count.trainable - without.trainable, count.total - without.total) == (ADDED * 16, ADDED * 16)
    assert "backbone.shared.rows.weight" in model.trainable_state()
    out = model.backbone(input_ids=torch.tensor([[2, 38, 1]]), labels=torch.tensor([[40, 1]]))
    out.loss.backward()
    table, rows = model.backbone.shared.table.weight, model.backbone.shared.rows.weight
    assert (table.grad is not None) == (tuning == "full")
    assert rows.grad is not None
    assert bool((rows.grad[[38 - FIRST, 40 - FIRST]].abs().sum(1) > 0).all())


def test_new_rows_are_like_the_others() -> None:
    torch.manual_seed(0)
    backbone = tied()
    with torch.no_grad():
        backbone.shared.weight.copy_(3 + 0.5 * torch.randn(40, 16))
    drawn = draw_id_tokens(backbone, 2000, seed=1)[ID_TOKENS]
    torch.testing.assert_close(drawn.mean(0), backbone.shared.weight.mean(0), atol=0.06, rtol=0)
    torch.testing.assert_close(drawn.std(0), backbone.shared.weight.std(0), atol=0.06, rtol=0)
    assert torch.equal(drawn, draw_id_tokens(backbone, 2000, seed=1)[ID_TOKENS])
    assert not torch.equal(drawn, draw_id_tokens(backbone, 2000, seed=2)[ID_TOKENS])
    assert F.mse_loss(drawn[0], drawn[1]) > 0
