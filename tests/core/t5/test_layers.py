"""Our pass through a T5 is that of transformers: states, logits and gradients, of one batch and of several."""

from __future__ import annotations

import pytest
import torch
from support.tiny import random_backbone
from torch import Tensor
from transformers import T5ForConditionalGeneration

from vip5core.config import ModelOptions
from vip5core.model.tuning import apply_tuning
from vip5core.t5 import head_scale, pad_together, run_decoder, run_encoder

LENGTHS = ([4, 4, 4], [9, 6], [1])


def masks_of(lengths: list[int]) -> Tensor:
    return (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()


def our_logits(backbone: T5ForConditionalGeneration, ids: list[Tensor], labels: list[Tensor]) -> list[Tensor]:
    masks = [masks_of(lengths) for lengths in LENGTHS]
    embedded = torch.cat([backbone.shared(x).flatten(0, 1) for x in ids])
    states = run_encoder(backbone.encoder, embedded, masks)
    decoded = run_decoder(backbone.decoder, [backbone._shift_right(x) for x in labels], states, masks)
    logits = backbone.lm_head(decoded * head_scale(backbone))
    parts = logits.split([x.numel() for x in labels])
    return [part.view(*x.shape, -1) for part, x in zip(parts, labels, strict=True)]


@pytest.mark.parametrize("tuning", ["full", "adapter", "lora"])
def test_logits_and_gradients_of_several_batches_equal_those_of_transformers(tuning: str) -> None:
    backbone = random_backbone.__wrapped__(3)
    apply_tuning(backbone, ModelOptions(tuning=tuning, reduction_factor=4, adapter_start="paper"))
    backbone.eval()
    vocabulary = backbone.config.vocab_size
    torch.manual_seed(0)
    ids = [torch.randint(2, vocabulary, (len(lengths), max(lengths))) for lengths in LENGTHS]
    labels = [torch.randint(2, vocabulary, (len(lengths), 5 - n)) for n, lengths in enumerate(LENGTHS)]
    theirs = [
        backbone(input_ids=x, attention_mask=masks_of(lengths), labels=y).logits
        for x, y, lengths in zip(ids, labels, LENGTHS, strict=True)
    ]
    ours = our_logits(backbone, ids, labels)
    trained = [p for p in backbone.parameters() if p.requires_grad]
    gradients = [
        torch.autograd.grad(sum(part.square().sum() for part in way), trained, allow_unused=True)
        for way in (ours, theirs)
    ]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    assert any(gradient is not None for gradient in gradients[0])
    for mine, other in zip(*gradients, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_several_batches_are_padded_together() -> None:
    values, shapes = torch.arange(8.0), [torch.Size((1, 2)), torch.Size((2, 3))]
    assert pad_together(values, shapes).tolist() == [[0, 1, 0], [2, 3, 4], [5, 6, 7]]
    assert pad_together(values[2:], shapes[1:]).tolist() == [[2, 3, 4], [5, 6, 7]]
