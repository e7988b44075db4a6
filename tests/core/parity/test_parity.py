"""Our model is the official one: same weights and inputs, same outputs, loss, gradients and training steps.

Tolerances are those of the golden files' own cross-check (README of the fixtures): rtol 1e-4, atol 2e-5 for
outputs, 1e-3 of the largest entry for gradients.
"""

from __future__ import annotations

import json

import pytest
import torch
from support.golden import load_golden

from vip5core.config import OptimOptions
from vip5core.model import target_losses
from vip5core.parity.checkpoint import our_name
from vip5core.training.optim import Optimizer

VARIANTS = [
    "base",
    "beam_eos",
    "beam_mixed",
    "no_adapter",
    "n_vis1",
    "n_vis3",
    "text_only",
    "gated_gelu",
    "multi_adapter_mixed_tasks",
    "no_cross_adapter",
    "no_vis_layernorm",
]
OUTPUTS = {"rtol": 1e-4, "atol": 2e-5}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_and_gradients_equal_the_official_code(variant: str) -> None:
    golden = load_golden(variant)
    model, batch = golden.model(), golden.batch()
    model.features = golden.features()
    model.requires_grad_(True)
    real = batch.attention_mask.bool()

    if len(batch.image_items):
        mapped = model.mapping(golden.tensor("in/vis_feats").flatten(0, 1))
        torch.testing.assert_close(
            mapped.reshape(golden.tensor("out/vis_embeds").shape), golden.tensor("out/vis_embeds"), **OUTPUTS
        )
    expected = golden.tensor("out/encoder_input_embeds")
    torch.testing.assert_close(model.embed([batch]).view_as(expected), expected, **OUTPUTS)

    states, expected = model.encode([batch]), golden.tensor("out/encoder_last_hidden_state")
    torch.testing.assert_close(states.view_as(expected)[real], expected[real], **OUTPUTS)
    logits = model.decode([batch], states)
    expected = golden.tensor("out/logits").flatten(0, 1)[batch.target_positions]
    torch.testing.assert_close(logits, expected, **OUTPUTS)

    loss = target_losses(logits, [batch], "paper").mean()
    torch.testing.assert_close(loss, golden.tensor("step/loss"), **OUTPUTS)
    total = target_losses(logits, [batch], "token_mean").sum()
    torch.testing.assert_close(total, golden.tensor("step/total_loss"), **OUTPUTS)

    loss.backward()
    parameters = dict(model.named_parameters())
    names = [name for name in golden.arrays if name.startswith("grad/")]
    assert len(names) >= 10
    for name in names:
        parameter = parameters[our_name(name.removeprefix("grad/"), model)]
        expected = golden.tensor(name)[: len(parameter)]
        ours = parameter.grad
        if ours is None:  # without images our mapping network is not used; in the official code its gradient is zero
            ours = torch.zeros_like(parameter)
        assert (ours - expected).abs().max() <= 1e-3 * expected.abs().max(), name
    norm = torch.sqrt(sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None))
    torch.testing.assert_close(norm, golden.tensor("step/grad_norm_all_params"), rtol=1e-3, atol=0)


def test_adapters_of_other_tasks_get_no_gradient() -> None:
    golden = load_golden("multi_adapter_mixed_tasks")
    model, batch = golden.model(), golden.batch()
    model.features = golden.features()
    target_losses(model([batch]), [batch]).mean().backward()
    trained = {
        name.split(".bank.")[1].split(".")[0]
        for name, p in model.named_parameters()
        if ".bank." in name and p.grad is not None
    }
    assert trained == {"direct"}


def test_six_training_steps_equal_the_official_ones() -> None:
    golden = load_golden("train_trajectory")
    model = golden.model("param0/").train()
    expected_trainable = {our_name(name, model) for name in json.loads(str(golden.arrays["meta/trainable"]))}
    assert {name for name, p in model.named_parameters() if p.requires_grad} == expected_trainable
    rates = golden.arrays["out/lr_used"]
    optimizer = Optimizer(
        model, OptimOptions(adam_epsilon=1e-6), total_steps=20
    )  # the recorded rates are the first 6 of 20
    for step in range(6):
        batch = golden.batch(f"in{step}/")
        model.features = golden.features(f"in{step}/")
        losses = target_losses(model([batch]), [batch], "paper")
        torch.testing.assert_close(losses.mean(), golden.tensor("out/loss")[step], **OUTPUTS)
        losses.mean().backward()
        assert optimizer.learning_rate == pytest.approx(float(rates[step]), rel=1e-6)
        norm = optimizer.step()
        assert norm == pytest.approx(float(golden.arrays["out/grad_norm_before_clip"][step]), rel=1e-3)
    parameters = dict(model.named_parameters())
    for name, expected in golden.state("paramN/").items():
        ours = parameters[our_name(name, model)]
        torch.testing.assert_close(ours, expected[: len(ours)], **OUTPUTS, msg=lambda m, name=name: f"{name}: {m}")
