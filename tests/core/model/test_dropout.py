"""Fast dropout has the right rate, scale and gradient, and repeats; without it attention is that of transformers."""

from __future__ import annotations

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from vip5core.model.dropout import attention, dropout


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_rate_scale_and_gradient(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(500, 401, requires_grad=True)
    y = dropout(x, rate)
    kept = y != 0
    assert 1 - float(kept.float().mean()) == pytest.approx(rate, abs=0.005)
    assert y[kept].unique().tolist() == pytest.approx([1 / (1 - rate)], rel=1e-4)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


def test_a_seed_repeats_the_dropout() -> None:
    x, drawn = torch.randn(64, 33), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(dropout(x, 0.1))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("masked", [True, False])
def test_attention_in_training_equals_that_of_transformers(masked: bool) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 2, 5, 4, requires_grad=True) for _ in range(3))
    bias = torch.randn(1, 2, 5, 5, requires_grad=True)
    mask = (torch.arange(5) < torch.tensor([5, 3, 4])[:, None])[:, None, None, :].expand(3, 1, 5, 5) if masked else None
    module = torch.nn.Module().train()
    module.is_causal = False
    results = []
    for way, rate in ((attention, 1e-9), (sdpa_attention_forward, 0.0)):  # a rate so small that nothing is dropped
        out, _ = way(module, query, key, value, mask, dropout=rate, scaling=1.0, position_bias=bias)
        results.append([out, *torch.autograd.grad(out.square().sum(), [query, key, value, bias])])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
