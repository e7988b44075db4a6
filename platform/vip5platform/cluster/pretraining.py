"""Finds the backbone of a study, or pretrains a built-in one in the P5 stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.home import Home
from vip5core.model import find_backbone
from vip5core.progress import Progress, no_progress
from vip5core.trial.p5_stage import make_p5_backbone, p5_config, p5_fingerprint
from vip5core.vocabulary import BUILT_IN


def built_in_folder(name: str, dataset: Dataset, home: Home, p5_epochs: int | None = None) -> Path:
    """The folder of the built-in backbone pretrained on `dataset`, whether it exists or not."""
    return home.backbones / f"{name}-{p5_fingerprint(dataset, _config(name, p5_epochs))}"


def backbone_folder(
    name: str,
    dataset: Dataset,
    home: Home,
    p5_epochs: int | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Find or download a backbone, or pretrain a built-in one.

    Args:
        name: A name on the hub, a folder, or a name in `BUILT_IN`.
        dataset: The dataset whose prompts a built-in backbone is pretrained on.
        home: The home whose `backbones/` they are kept in.
        p5_epochs: The epochs of that P5 stage; by default those of its preset.
        progress: Called after each epoch of that stage with (done, total, news).

    Returns:
        The folder of the backbone.

    Raises:
        UserError: If there is no such backbone.
    """
    if name not in BUILT_IN:
        return find_backbone(name, home)
    config, out = _config(name, p5_epochs), built_in_folder(name, dataset, home, p5_epochs)
    if not out.is_dir():
        progress(0, config.epochs, "starting …")

        def report(metrics: dict[str, float]) -> None:
            progress(int(metrics["epoch"]), config.epochs, f"valid/loss {metrics['valid/loss']:.3f}")

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with _one_thread():
            make_p5_backbone(dataset, config, out, report, device)
    return out


def _config(name: str, p5_epochs: int | None) -> TrialConfig:
    return p5_config(backbone=name, **({"epochs": p5_epochs} if p5_epochs is not None else {}))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run with one thread: for matrices this small a second thread gains little and costs much on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
