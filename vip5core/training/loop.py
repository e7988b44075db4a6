"""The training loop: one epoch after another, validation after each, the best epoch kept.

What happens to the numbers is not the loop's business: it calls `report` with each epoch's metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vip5core.config import TrialConfig
from vip5core.distributed import WorkerGroup
from vip5core.errors import DivergedError
from vip5core.evaluation.evaluate import Evaluator
from vip5core.metrics import metric
from vip5core.model import VIP5, target_losses
from vip5core.profiling import PeakMemory, Stopwatch
from vip5core.prompts import Layout, PromptTables, Sample, TrainingSampler, micro_batches
from vip5core.storage import atomic_file
from vip5core.training.optim import Optimizer

Report = Callable[[dict[str, float]], None]

#: What a micro-batch costs beside its tokens, in parameters times tokens: a small backbone, or a GPU, spends as long on
#: launching a small micro-batch as on a larger one, so that fewer, fuller ones are better there.
_OVERHEAD_WORK = {"cpu": 5e7, "cuda": 1e11}

#: The same in tokens, for reading the weights: what it takes grows with the model, as a token's work does.
_OVERHEAD_TOKENS = 60


@dataclass
class TrainingData:
    """What the loop draws its batches from."""

    sampler: TrainingSampler
    tables: PromptTables
    layout: Layout


@dataclass
class Fitted:
    """What training leaves.

    Attributes:
        best_epoch: from 1, by the selection metric.
        best_state: the trainable parameters of that epoch, on the CPU.
        history: the metrics of each epoch, as reported.
        stopwatch: seconds of training, data and validation.
        samples: prompts trained on, by all workers.
        peak_memory_mb: the most memory that this worker's training steps used; evaluation, which takes as much whatever
            is trained, does not count.
    """

    best_epoch: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    samples: int = 0
    peak_memory_mb: float = 0.0


def fit(
    model: VIP5,
    data: TrainingData,
    evaluator: Evaluator,
    config: TrialConfig,
    report: Report,
    *,
    group: WorkerGroup | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Train `model` in place.

    The same seed gives the same numbers: batches are drawn by (seed, epoch, step), dropout is seeded by epoch, so that
    a training that goes on from `checkpoint` (written after every epoch) ends as one that was never interrupted.

    Args:
        evaluator: gives the validation metrics of an epoch.
        report: called after each epoch, on every worker, with `epoch`, `train/loss` and `valid/` metrics.
        group: the workers; each step's rows are dealt out among them and the gradients summed.
        checkpoint: where to keep the state after each epoch, and where to look for it first.

    Raises:
        DivergedError: when the loss is not finite.
    """
    group = group or WorkerGroup()
    total_steps = config.epochs * data.sampler.steps(config.batch_size)
    optimizer = Optimizer(model, config, total_steps)
    fitted = Fitted()
    start = 0
    if checkpoint is not None and checkpoint.is_file():
        start = _restore(checkpoint, model, optimizer, fitted)
        for metrics in fitted.history:
            report(metrics)
    for epoch in range(start, config.epochs):
        torch.manual_seed(int(np.random.SeedSequence([config.seed, epoch, group.rank]).generate_state(1)[0]))
        memory = PeakMemory(model.device)
        loss = _train_epoch(model, data, optimizer, config, epoch, group, fitted)
        fitted.peak_memory_mb = max(fitted.peak_memory_mb, memory.megabytes())
        with fitted.stopwatch.measure("validation", model.device):
            metrics = {"epoch": float(epoch + 1), "train/loss": loss, **evaluator.validate(model)}
        fitted.history.append(metrics)
        best = None if not fitted.best_epoch else fitted.history[fitted.best_epoch - 1][config.select_by]
        if best is None or metric(config.select_by).better(metrics[config.select_by], best):
            fitted.best_epoch = epoch + 1
            fitted.best_state = {name: value.cpu().clone() for name, value in model.trainable_state().items()}
        if checkpoint is not None and group.rank == 0:
            _save(checkpoint, model, optimizer, fitted)
        report(metrics)
    return fitted


def _train_epoch(
    model: VIP5,
    data: TrainingData,
    optimizer: Optimizer,
    config: TrialConfig,
    epoch: int,
    group: WorkerGroup,
    fitted: Fitted,
) -> float:
    """One pass over the epoch's samples; returns the mean loss."""
    model.train()
    batches = data.sampler.epoch(epoch, config.batch_size)
    losses = torch.zeros((), device=model.device)
    steps = data.sampler.steps(config.batch_size)
    for _ in range(steps):
        with fitted.stopwatch.measure("train", model.device):
            with fitted.stopwatch.measure("data"):
                samples = next(batches)
            losses += accumulate(model, samples, data, config, group, fitted.stopwatch)
            group.sum_gradients(optimizer.parameters)
            optimizer.step()
            fitted.samples += len(samples)
    loss = sum(group.gather(float(losses))) / steps
    if not math.isfinite(loss):
        raise DivergedError(f"the training loss is {loss} in epoch {epoch + 1}: try a lower learning_rate")
    return loss


def accumulate(
    model: VIP5,
    samples: list[Sample],
    data: TrainingData,
    config: TrialConfig,
    group: WorkerGroup,
    stopwatch: Stopwatch,
) -> Tensor:
    """Add the gradient of a batch's mean loss, micro-batch by micro-batch; returns this worker's part of that loss."""
    device = model.device
    total = torch.zeros((), device=device)
    with stopwatch.measure("data"):
        mine = group.share(samples)
        batches = (
            micro_batches(
                mine,
                data.tables,
                data.layout,
                overhead=_OVERHEAD_TOKENS + _OVERHEAD_WORK[device.type] / work_per_token(model),
                by_task=config.adapter_sharing == "per_task",
            )
            if mine
            else []
        )
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            batch = batch.to(device)
            logits = model(batch)
        loss = target_losses(logits, batch.labels, config.loss).sum() / len(samples)
        loss.backward()
        total += loss.detach()
    return total


def work_per_token(model: VIP5) -> int:
    """Parameters that each source token passes: those of the encoder's blocks."""
    return sum(p.numel() for p in model.backbone.encoder.block.parameters())


def _save(path: Path, model: VIP5, optimizer: Optimizer, fitted: Fitted) -> None:
    state = {
        "model": {name: value.cpu() for name, value in model.trainable_state().items()},
        "optimizer": optimizer.state_dict(),
        "best_epoch": fitted.best_epoch,
        "best_state": fitted.best_state,
        "history": fitted.history,
        "seconds": fitted.stopwatch.seconds,
        "samples": fitted.samples,
        "peak_memory_mb": fitted.peak_memory_mb,
    }
    with atomic_file(path) as aside:
        torch.save(state, aside)


def _restore(path: Path, model: VIP5, optimizer: Optimizer, fitted: Fitted) -> int:
    """Put the state of `path` back; returns how many epochs it has seen."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    load_trainable(model, state["model"])
    optimizer.load_state_dict(state["optimizer"])
    fitted.best_epoch, fitted.best_state = state["best_epoch"], state["best_state"]
    fitted.history, fitted.samples = state["history"], state["samples"]
    fitted.stopwatch.seconds, fitted.peak_memory_mb = state["seconds"], state["peak_memory_mb"]
    return len(fitted.history)


def load_trainable(model: VIP5, state: dict[str, Tensor]) -> None:
    """Put saved trainable parameters into a model of the same make."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)
