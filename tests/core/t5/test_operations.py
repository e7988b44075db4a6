"""The operations for CPUs equal the plain ones; dropout has the right rate, scale and gradient, and repeats."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vip5core.t5 import add_dropped, attend, dropout, relu_dropped, rms_norm

DROPPING: dict[str, Callable[[Tensor, float], Tensor]] = {
    "dropout": dropout,
    "relu_dropped": relu_dropped,
    "add_dropped": lambda x, rate: add_dropped(torch.zeros_like(x), x, rate),
}


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("operation", DROPPING.values(), ids=DROPPING)
def test_rate_scale_and_gradient(operation: Callable[[Tensor, float], Tensor], rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(500, 401, requires_grad=True)
    y = operation(x, rate)
    kept = y != 0
    assert 1 - float(kept.float().mean()) == pytest.approx(rate, abs=0.005)
    assert y[kept].unique().tolist() == pytest.approx([1 / (1 - rate)], rel=1e-4)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_relu_and_sum_pass_the_gradients_of_the_plain_forms(rate: float) -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(30, 21, requires_grad=True) for _ in range(2))
    out = relu_dropped(x, rate)
    kept = (out != 0) | (x <= 0)
    out.square().sum().backward()
    factor = torch.where(kept, 1 / (1 - rate), 0.0)
    torch.testing.assert_close(x.grad, 2 * factor**2 * F.relu(x.detach()), rtol=1e-4, atol=1e-5)
    x.grad = None
    add_dropped(x, y, rate).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


@pytest.mark.parametrize("operation", DROPPING.values(), ids=DROPPING)
def test_a_seed_repeats_the_dropout(operation: Callable[[Tensor, float], Tensor]) -> None:
    x, drawn = torch.rand(64, 33) + 1, []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(operation(x, 0.1))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_norm_equals_its_definition() -> None:
    torch.manual_seed(0)
    x = (3 * torch.randn(7, 12, dtype=torch.float64)).requires_grad_()
    weight = torch.rand(12, dtype=torch.float64, requires_grad=True)
    expected = x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6) * weight
    ours = rms_norm(x.float(), weight.float(), 1e-6)
    torch.testing.assert_close(ours, expected.float())
    towards = torch.randn(7, 12)
    for theirs, mine in zip(
        torch.autograd.grad((expected * towards).sum(), (x, weight)),
        torch.autograd.grad((ours * towards).sum(), (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rms_norm(x.bfloat16(), weight.float(), 1e-6), expected.float(), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("trained", [True, False], ids=["trained-bias", "frozen-bias"])
@pytest.mark.parametrize("shape", [(1, 2, 5, 6), (3, 2, 5, 6), (3, 1, 1, 6), None])
def test_attention_equals_its_definition(shape: tuple[int, ...] | None, trained: bool) -> None:
    torch.manual_seed(0)
    query = torch.randn(3, 2, 5, 4, requires_grad=True)
    key, value = (torch.randn(3, 2, 6, 4, requires_grad=True) for _ in range(2))
    bias = torch.randn(shape, requires_grad=trained) if shape else None
    if bias is not None and not trained:
        bias[..., -1] = -1e30  # a hidden key
    scores = query @ key.transpose(2, 3) + (bias if bias is not None else 0.0)
    expected = scores.softmax(-1) @ value
    wanted = [query, key, value, *([bias] if shape and trained else [])]
    theirs = [expected, *torch.autograd.grad(expected.square().sum(), wanted)]
    for rate in (0.0, 1e-9):  # a rate so small that nothing is dropped, but that takes the other way
        out = attend(query, key, value, bias, rate)
        ours = [out, *torch.autograd.grad(out.square().sum(), wanted)]
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_attention_drops_weights_and_their_gradients() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(40, 2, 30, 4, requires_grad=True), torch.randn(40, 2, 25, 4)
    value = torch.eye(25).expand(40, 2, 25, 25)  # makes the output the weights themselves
    torch.manual_seed(1)
    out = attend(query, key, value, None, 0.2)
    weights = (query @ key.transpose(2, 3)).softmax(-1)
    kept = out != 0
    assert 1 - float(kept.float().mean()) == pytest.approx(0.2, abs=0.005)
    torch.testing.assert_close(out, torch.where(kept, weights * 1.25, 0.0), rtol=1e-4, atol=1e-6)
    towards = torch.randn_like(out)
    (expected,) = torch.autograd.grad((torch.where(kept, weights * 1.25, 0.0) * towards).sum(), query)
    (ours,) = torch.autograd.grad((out * towards).sum(), query)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
