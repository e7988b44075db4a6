"""The loss and the optimiser: how prompts are weighted, and how far parameters move."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from vip5core.config import OptimOptions
from vip5core.model import LENGTH_POWERS, RMSNorm, target_losses
from vip5core.prompts import IGNORED, Batch
from vip5core.training.optim import Optimizer


def batches_of(*labels: list[list[int]]) -> list[Batch]:
    """Batches of which only the labels count."""
    rows = [torch.tensor(rows) for rows in labels]
    nothing = torch.empty(0, dtype=torch.long)
    return [
        Batch(*[nothing] * 6, each, (each != IGNORED).flatten().nonzero().flatten(), np.arange(len(each)), "mixed")
        for each in rows
    ]


@pytest.mark.parametrize("weighting", LENGTH_POWERS)
def test_a_prompts_loss_is_divided_by_its_length_once_or_twice(weighting: str) -> None:
    batches = batches_of([[3, 1, IGNORED, IGNORED], [4, 4, 4, 1]])
    losses = target_losses(torch.zeros(6, 7), batches, weighting)
    lengths = torch.tensor([2.0, 4.0])
    expected = {"token_mean": torch.full((2,), math.log(7)), "paper": math.log(7) / lengths}[weighting]
    torch.testing.assert_close(losses, expected)


def test_the_loss_of_several_batches_is_the_cross_entropy_of_each_prompt() -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 5)
    batches = batches_of([[1, 2, IGNORED], [3, IGNORED, IGNORED]], [[4], [0], [2]])
    nll = -logits.log_softmax(-1)[range(6), [1, 2, 3, 4, 0, 2]]
    expected = torch.stack([nll[:2].mean(), *nll[2:]])
    torch.testing.assert_close(target_losses(logits, batches), expected)


def test_smoothing_asks_for_every_item_a_little_and_leaves_words_alone() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 6)
    item_tokens = torch.tensor([1, 2, 4])
    log_shares = logits.log_softmax(-1)
    smoothed = -0.8 * log_shares[range(2), [1, 2]] - 0.2 * log_shares[:2, item_tokens].mean(-1)
    expected = torch.stack([*smoothed, -log_shares[2, 5]])
    losses = target_losses(logits, batches_of([[1], [2], [5]]), smoothing=0.2, item_tokens=item_tokens)
    torch.testing.assert_close(losses, expected)


class Parts(nn.Module):
    """One of each kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.norm = RMSNorm(3)
        self.table = nn.Embedding(4, 3)
        self.still = nn.Linear(3, 3).requires_grad_(False)


def find_decayed(options: OptimOptions) -> set[str]:
    """The parameters that weight decay changes: those that move without any gradient."""
    model = Parts()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    optimizer = Optimizer(model, options, total_steps=10)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return {
        name for name, parameter in model.named_parameters() if not torch.equal(parameter, torch.ones_like(parameter))
    }


def test_biases_are_exempt_from_weight_decay_and_norms_on_request() -> None:
    base = {"warmup": 0.0, "weight_decay": 0.1}
    assert find_decayed(OptimOptions(**base)) == {"linear.weight", "norm.weight", "table.weight"}
    assert find_decayed(OptimOptions(**base, decay_norms=False)) == {"linear.weight", "table.weight"}
    assert find_decayed(OptimOptions(warmup=0.0, weight_decay=0.0)) == set()


def test_the_rate_rises_during_warm_up_and_falls_to_zero() -> None:
    optimizer = Optimizer(Parts(), OptimOptions(learning_rate=2.0, warmup=0.2), total_steps=10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.learning_rate)
        optimizer.adam.step()
        optimizer.schedule.step()
    assert rates == pytest.approx([0.0, 1.0, 2.0, 1.75, 1.5, 1.25, 1.0, 0.75, 0.5, 0.25])
    assert optimizer.learning_rate == 0.0


def test_embedding_tables_have_a_rate_of_their_own() -> None:
    model = Parts()
    optimizer = Optimizer(model, OptimOptions(learning_rate=1e-2, warmup=0.0, weight_decay=0.0, embedding_rate=5.0), 10)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {name: float((p.detach() - before[name]).abs().mean()) for name, p in model.named_parameters()}
    assert moved["linear.weight"] == pytest.approx(1e-2, rel=1e-3)
    assert moved["table.weight"] == pytest.approx(5e-2, rel=1e-3)
    assert moved["still.weight"] == 0.0


def test_a_large_gradient_is_clipped_and_its_norm_returned() -> None:
    model = Parts()
    optimizer = Optimizer(model, OptimOptions(clip=1.0), 10)
    for parameter in optimizer.parameters:
        parameter.grad = torch.full_like(parameter, 10.0)
    seen = []
    optimizer.adam.register_step_pre_hook(lambda *_: seen.extend(p.grad.clone() for p in optimizer.parameters))
    count = sum(p.numel() for p in optimizer.parameters)
    assert optimizer.step() == pytest.approx(10.0 * math.sqrt(count))
    assert float(torch.cat([grad.flatten() for grad in seen]).norm()) == pytest.approx(1.0, rel=1e-4)
    assert all(p.grad is None for p in optimizer.parameters)
