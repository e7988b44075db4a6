"""A worker of a data-parallel group, in a module that a spawned process can import."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from support.shop import small_components, small_config, state_of
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.distributed import DistributedGroup, WorkerGroup
from vip5core.training.loop import fit


def group_config() -> TrialConfig:
    # A large epsilon: otherwise Adam would turn gradients that are rounding errors into full steps.
    return small_config(epochs=1, learning_rate=1e-3, adam_epsilon=1e-3, extra_embeddings="trained", test_users=9)


def train_in(group: WorkerGroup, dataset: Path) -> dict:
    """Train as one worker of `group`; returns the results."""
    config, shop = group_config(), Dataset.load(dataset)
    inputs = small_components(shop)
    model, evaluator = inputs.model(config), inputs.evaluator(config, group)
    reported: list[dict[str, float]] = []
    fitted = fit(model, inputs.training_data(config), evaluator, config, reported.append, group=group)
    metrics, rows, _ = evaluator.test(model)
    return {
        "state": state_of(model),
        "history": fitted.history,
        "reported": reported,
        "samples": fitted.samples,
        "test": metrics,
        "rows": rows.to_dict("list"),
    }


def sum_gradients(group: WorkerGroup) -> list[torch.Tensor]:
    """The gradients after summing, where each worker lacks one of them."""
    parameters = [nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(3))]
    parameters[group.rank].grad = torch.full_like(parameters[group.rank], 1.0 + group.rank)
    group.sum_gradients(parameters)
    return [parameter.grad for parameter in parameters]


def work(rank: int, size: int, dataset: Path, out: Path) -> None:
    """One of `size` workers; writes its results to `out/rank.pt`."""
    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{out / 'meeting'}", rank=rank, world_size=size)
    try:
        group = DistributedGroup()
        result = {"gradients": sum_gradients(group), **train_in(group, dataset)}
        torch.save(result, out / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
