"""The training loop is deterministic, resumes where it stopped, and reports when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.shop import random_features, small_components, small_config, state_of

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.errors import DivergedError
from vip5core.model import VIP5
from vip5core.training.loop import FitResult, Report, fit, load_trainable
from vip5core.trial.components import TrialComponents

pytestmark = pytest.mark.slow


def train(
    shop: Dataset, config: TrialConfig, report: Report = lambda _: None, checkpoint: Path | None = None
) -> tuple[VIP5, FitResult]:
    """Train a fresh model."""
    inputs = small_components(shop, config.dropout)
    model = inputs.model(config)
    return model, fit(
        model, inputs.training_data(config), inputs.evaluator(config), config, report, checkpoint=checkpoint
    )


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


CONFIG = small_config(dropout=0.1, epochs=3, samples_per_user=(1, 1, 1, 1), tasks=("sequential", "direct"))


@pytest.fixture(scope="module")
def uninterrupted(shop: Dataset) -> tuple[VIP5, FitResult, list[dict[str, float]]]:
    """A training without interruption, and what it reported."""
    reported: list[dict[str, float]] = []
    return *train(shop, CONFIG, reported.append), reported


@pytest.mark.slow
def test_the_same_config_gives_the_same_bits(shop: Dataset, uninterrupted: Any) -> None:
    model, fitted, reported = uninterrupted
    torch.manual_seed(12345)  # what ran before must make no difference
    np.random.default_rng().random()
    again, fitted_again = train(shop, CONFIG)
    assert fitted_again.history == fitted.history == reported
    assert same(state_of(again), state_of(model))
    assert same(fitted_again.best_state, fitted.best_state)
    other, _ = train(shop, CONFIG.model_copy(update={"seed": 1, "epochs": 1}))
    assert not same(state_of(other), state_of(model))


@pytest.mark.slow
def test_training_resumes_where_it_was_interrupted(shop: Dataset, uninterrupted: Any, tmp_path: Path) -> None:
    model, fitted, _ = uninterrupted
    checkpoint = tmp_path / "state.pt"

    def killed_in_epoch_two(metrics: dict[str, float]) -> None:
        if metrics["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(shop, CONFIG, killed_in_epoch_two, checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]
    reported: list[dict[str, float]] = []
    resumed, fitted_again = train(shop, CONFIG, reported.append, checkpoint)
    assert reported == fitted_again.history == fitted.history  # earlier epochs are reported again
    assert same(state_of(resumed), state_of(model))
    assert same(fitted_again.best_state, fitted.best_state)
    assert (fitted_again.best_epoch, fitted_again.samples) == (fitted.best_epoch, fitted.samples)


def test_a_finished_training_is_not_repeated(shop: Dataset, tmp_path: Path) -> None:
    config = small_config(epochs=1, tasks=("sequential",))
    _, first = train(shop, config, checkpoint=tmp_path / "state.pt")
    _, again = train(shop, config, checkpoint=tmp_path / "state.pt")
    assert again.history == first.history
    assert again.samples == first.samples
    assert same(again.best_state, first.best_state)


@pytest.mark.slow
def test_the_best_epoch_is_the_one_that_validates_best(shop: Dataset) -> None:
    for select_by, best in (("valid/loss", min), ("valid/sequential/ndcg_at_10", max)):
        model, fitted = train(
            shop, small_config(epochs=3, learning_rate=0.3, tasks=("sequential",), select_by=select_by)
        )
        scores = [metrics[select_by] for metrics in fitted.history]
        assert fitted.best_epoch == 1 + scores.index(best(scores))
        load_trainable(model, fitted.best_state)
        assert same({name: p.clone() for name, p in model.trainable_state().items()}, fitted.best_state)


@pytest.mark.slow
def test_training_stops_when_patience_is_over_and_a_resumed_one_does_too(shop: Dataset, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {"tasks": ("sequential",), "select_by": "valid/sequential/ndcg_at_10"}
    _, long = train(shop, small_config(epochs=6, **chosen))
    scores = [metrics[chosen["select_by"]] for metrics in long.history]
    best = [1 + scores.index(max(scores[:epoch])) for epoch in range(1, 7)]
    stopped = next(epoch for epoch in range(1, 7) if epoch - best[epoch - 1] >= 2)
    assert stopped < 6, "the test needs a training that gets no better"

    config, checkpoint = small_config(epochs=6, patience=2, **chosen), tmp_path / "state.pt"
    reported: list[dict[str, float]] = []
    _, short = train(shop, config, reported.append, checkpoint)
    assert short.history == reported == long.history[:stopped]
    assert short.best_epoch == stopped - 2
    # Killed after its last epoch, it trains no other one.
    _, again = train(shop, config, checkpoint=checkpoint)
    assert again.history == short.history
    assert (again.best_epoch, again.samples) == (short.best_epoch, short.samples)


@pytest.mark.parametrize("tuning", ["adapter", "frozen", "lora", "ia3"])
def test_only_trainable_parameters_move(shop: Dataset, tuning: str) -> None:
    config = small_config(tuning=tuning, epochs=1, adapter_start="paper", tasks=("sequential",))
    inputs = small_components(shop)
    model = inputs.model(config)
    before, trains = state_of(model), set(model.trainable_state())
    fit(model, inputs.training_data(config), inputs.evaluator(config), config, lambda _: None)
    moved = {name for name, value in state_of(model).items() if not torch.equal(value, before[name])}
    assert moved <= trains
    assert {name for name in trains if name.startswith("mapping.")} <= moved
    if tuning == "adapter":  # adapters and layer norms too
        assert any("bank" in name for name in moved)
        assert any("layer_norm" in name for name in moved)


@pytest.mark.slow
def test_the_loss_falls(shop: Dataset) -> None:
    _, fitted = train(shop, small_config(tuning="full", epochs=4, tasks=("explanation",), embedding_rate=5.0))
    losses = [metrics["train/loss"] for metrics in fitted.history]
    assert losses[-1] < 0.6 * losses[0]
    assert fitted.history[-1]["valid/loss"] < fitted.history[0]["valid/loss"]


def test_a_training_that_diverges_raises_and_reports_nothing(shop: Dataset) -> None:
    reported: list[dict[str, float]] = []
    with pytest.raises(DivergedError, match=r"training loss is (nan|inf) in epoch 1: try a lower learning_rate"):
        train(shop, small_config(learning_rate=1e30, epochs=1, tasks=("sequential",)), reported.append)
    assert reported == []


def test_features_that_are_not_numbers_are_noticed(shop: Dataset) -> None:
    inputs = small_components(shop)
    features = random_features(shop)
    features.features[5:] = np.nan
    broken = TrialComponents(shop, inputs.backbone, features)
    config = small_config(epochs=1, tasks=("sequential",), feature_scaling="raw")
    model = broken.model(config)
    with pytest.raises(DivergedError):
        fit(model, broken.training_data(config), broken.evaluator(config), config, lambda _: None)
