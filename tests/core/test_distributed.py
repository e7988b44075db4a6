"""Several workers compute the same as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.workers import train_in, work

from vip5core.data.dataset import Dataset
from vip5core.distributed import WorkerGroup


def test_a_single_worker_has_all_rows() -> None:
    group = WorkerGroup()
    assert list(group.share([1, 2, 3])) == [1, 2, 3]
    assert group.gather("x") == ["x"]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_row_goes_to_one_worker(size: int) -> None:
    rows = list(range(5))
    shares = []
    for rank in range(size):
        group = WorkerGroup()
        group.rank, group.size = rank, size
        shares += group.share(rows)
    assert sorted(shares) == rows


@pytest.mark.slow
def test_two_workers_train_and_evaluate_as_one(shop: Dataset, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(work, (2, shop.folder, tmp_path), nprocs=2)
    one = train_in(WorkerGroup(), shop.folder)
    workers = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1)]
    for name, expected in one["state"].items():
        assert torch.equal(workers[0]["state"][name], workers[1]["state"][name]), name  # they stay replicas
        torch.testing.assert_close(workers[0]["state"][name], expected, rtol=0, atol=1e-5)
    for worker in workers:
        assert worker["history"][0] == pytest.approx(one["history"][0], abs=1e-5)
        assert worker["test"] == pytest.approx(one["test"], abs=1e-5)
        assert worker["rows"]["user"] == one["rows"]["user"]
        assert worker["rows"]["item"] == one["rows"]["item"]
        assert worker["samples"] == one["samples"]
        for gradient, value in zip(worker["gradients"], (1.0, 2.0), strict=True):
            assert torch.equal(gradient, torch.full_like(gradient, value))
        assert worker["reported"] == worker["history"]
