"""The training loop: epoch after epoch, each followed by validation; the best epoch is kept.

The loop calls `report` with the metrics of each epoch; what is done with them is up to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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
from vip5core.model import VIP5, capacity, grouping_costs, target_losses
from vip5core.profiling import PeakMemory, Stopwatch
from vip5core.prompts import (
    CompiledSamples,
    Layout,
    PromptTables,
    TrainingSampler,
    compile_samples,
    micro_batches,
)
from vip5core.storage import atomic_file
from vip5core.training.optim import Optimizer

Report = Callable[[dict[str, float]], None]
#: Called with a checkpoint whenever it was written.
Saved = Callable[[Path], object]

#: The number of steps whose prompts are compiled together.
_STEPS_AT_A_TIME = 64


@dataclass
class TrainingData:
    """The source of training batches."""

    sampler: TrainingSampler
    tables: PromptTables
    layout: Layout


@dataclass
class FitResult:
    """The outcome of a training.

    Attributes:
        best_epoch: The epoch with the best value of the selection metric, counted from 1.
        best_state: The trainable parameters of that epoch, on the CPU.
        history: The metrics of each epoch, as reported.
        stopwatch: The seconds of training, data and validation.
        samples: The number of prompts trained on, by all workers.
        peak_memory_mb: The peak memory of this worker's training steps. Evaluation does not count: it takes the same
            whatever is trained.
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
    saved: Saved = lambda path: None,
) -> FitResult:
    """Train `model` in place, until its epochs are over or `patience` epochs in a row were no better than the best.

    The same seed gives the same numbers: prompts are drawn by (seed, epoch) and dropout is seeded by epoch, so
    that a training resumed from `checkpoint`, written after every epoch, ends like one that was never interrupted.

    Args:
        model: The model; its trainable parameters change.
        data: The source of training batches.
        evaluator: The evaluator that gives the validation metrics of an epoch.
        config: The settings of the training.
        report: Called after each epoch, on every worker, with `epoch`, `train/loss` and the `valid/` metrics.
        group: The workers; the rows of each step are divided among them and their gradients summed.
        checkpoint: The file that keeps the state after each epoch; if it exists, training resumes from it.
        saved: Called with that file, on the worker with rank 0, whenever it was written.

    Raises:
        DivergedError: if the loss is not finite.
    """
    group = group or WorkerGroup()
    total_steps = config.epochs * data.sampler.steps(config.batch_size)
    optimizer = Optimizer(model, config, total_steps)
    fitted = FitResult()
    start = 0
    if checkpoint is not None and checkpoint.is_file():
        start = _restore(checkpoint, model, optimizer, fitted)
        for metrics in fitted.history:
            report(metrics)
    for epoch in range(start, config.epochs):
        if config.patience is not None and epoch - fitted.best_epoch >= config.patience:
            break
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
            saved(checkpoint)
        report(metrics)
    return fitted


def _train_epoch(
    model: VIP5,
    data: TrainingData,
    optimizer: Optimizer,
    config: TrialConfig,
    epoch: int,
    group: WorkerGroup,
    fitted: FitResult,
) -> float:
    """Train on the epoch's samples once; returns the mean loss."""
    model.train()
    losses = torch.zeros((), device=model.device)
    steps = data.sampler.steps(config.batch_size)
    with fitted.stopwatch.measure("train", model.device):
        for compiled, rows in _compiled_steps(data, config, epoch, fitted.stopwatch):
            losses += accumulate(model, compiled, rows, data, config, group, fitted.stopwatch)
            group.sum_gradients(optimizer.parameters)
            optimizer.step()
            fitted.samples += len(rows)
    loss = sum(group.gather(float(losses))) / steps
    if not math.isfinite(loss):
        raise DivergedError(f"the training loss is {loss} in epoch {epoch + 1}: try a lower learning_rate")
    return loss


def _compiled_steps(
    data: TrainingData, config: TrialConfig, epoch: int, stopwatch: Stopwatch
) -> Iterator[tuple[CompiledSamples, np.ndarray]]:
    """The prompts of each step of an epoch: rows of prompts that are compiled for many steps at once."""
    with stopwatch.measure("data"):
        samples = data.sampler.draw(epoch)
    size = config.batch_size
    for start in range(0, len(samples), size * _STEPS_AT_A_TIME):
        with stopwatch.measure("data"):
            several = samples[start : start + size * _STEPS_AT_A_TIME]
            compiled = compile_samples(several, data.tables, data.layout)
        for row in range(0, len(several), size):
            yield compiled, np.arange(row, min(row + size, len(several)))


def accumulate(
    model: VIP5,
    compiled: CompiledSamples,
    rows: np.ndarray,
    data: TrainingData,
    config: TrialConfig,
    group: WorkerGroup,
    stopwatch: Stopwatch,
) -> Tensor:
    """Add the gradients of a step's mean loss, piece by piece; returns this worker's part of the loss.

    Args:
        model: The model.
        compiled: The compiled prompts of several steps.
        rows: Those of this step, which the workers divide among them. Shape: [batch size].
        data: The source of the prompts.
        config: The settings of the training.
        group: The workers.
        stopwatch: Measures the padding as `data`.
    """
    device = model.device
    total = torch.zeros((), device=device)
    item_tokens = torch.as_tensor(data.tables.item_tokens, device=device) if config.label_smoothing else None
    with stopwatch.measure("data"):
        pieces = micro_batches(
            compiled,
            group.share(rows),
            data.tables,
            data.layout,
            capacity(model),
            grouping_costs(model),
            by_task=config.adapter_sharing == "per_task",
        )
    for piece in pieces:
        batches = [batch.to(device) for batch in piece]
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            logits = model(batches)
        losses = target_losses(logits, batches, config.loss, config.label_smoothing, item_tokens)
        loss = losses.sum() / len(rows)
        loss.backward()
        total += loss.detach()
    return total


def _save(path: Path, model: VIP5, optimizer: Optimizer, fitted: FitResult) -> None:
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


def _restore(path: Path, model: VIP5, optimizer: Optimizer, fitted: FitResult) -> int:
    """Restore the state of `path`; returns the number of epochs trained."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    load_trainable(model, state["model"])
    optimizer.load_state_dict(state["optimizer"])
    fitted.best_epoch, fitted.best_state = state["best_epoch"], state["best_state"]
    fitted.history, fitted.samples = state["history"], state["samples"]
    fitted.stopwatch.seconds, fitted.peak_memory_mb = state["seconds"], state["peak_memory_mb"]
    return len(fitted.history)


def load_trainable(model: VIP5, state: dict[str, Tensor]) -> None:
    """Copy saved trainable parameters into a model of the same structure."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in state.items():
            parameters[name].copy_(value)
