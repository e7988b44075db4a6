"""What is measured of a training besides its tests: validation, cost and size."""

from __future__ import annotations

import platform
import socket

import torch

from vip5core.distributed import WorkerGroup
from vip5core.model import VIP5, count_parameters
from vip5core.training.loop import FitResult


def best_validation(fitted: FitResult) -> dict[str, float]:
    """The `valid/` metrics of the best epoch."""
    best = fitted.history[fitted.best_epoch - 1]
    return {name: value for name, value in best.items() if name.startswith("valid/")}


def measure_costs(fitted: FitResult, peak_memory_mb: float) -> dict[str, float]:
    """The `cost/` metrics, and which epoch was the best.

    Args:
        fitted: The outcome of the training; its stopwatch may have measured a test and a probe, too.
        peak_memory_mb: The peak of the worker that needed the most memory.
    """
    watch = fitted.stopwatch
    parts = ("train", "data", "validation", *(part for part in ("test", "probe") if part in watch.seconds))
    seconds = {f"cost/{name}_seconds": watch[name] for name in parts}
    return {
        **seconds,
        "cost/seconds": watch["train"] + watch["validation"] + watch["test"] + watch["probe"],
        "cost/peak_memory_mb": peak_memory_mb,
        "cost/samples_per_second": fitted.samples / watch["train"],
        "model/best_epoch": float(fitted.best_epoch),
    }


def measure_size(model: VIP5) -> dict[str, float]:
    """The numbers of parameters."""
    count = count_parameters(model)
    return {
        "model/trainable_parameters": float(count.trainable),
        "model/total_parameters": float(count.total),
        "model/trainable_percent": count.percent,
    }


def device_name(device: torch.device) -> str:
    """The name of the hardware."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu"


def host_names(group: WorkerGroup) -> str:
    """The names of the machines that the workers run on; each worker has to call it."""
    return ", ".join(sorted(set(group.gather(socket.gethostname()))))
