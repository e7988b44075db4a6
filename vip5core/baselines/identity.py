"""What the answers of a baseline depend on, and the folder that keeps them; no baseline is imported for that."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.fingerprint import SASREC_ROOTS, SIMPLE_BASELINE_ROOTS, code_identity, fingerprint
from vip5core.home import Home
from vip5core.vocabulary import RANKING_TASKS, Task


@dataclass(frozen=True)
class SasrecOptions:
    """The options of the baseline; the defaults were chosen by validation NDCG@10 on MovieLens-100K.

    Attributes:
        width: The width of the network, D.
        layers: The number of attention blocks.
        heads: The number of heads of each block, which divides the width.
        dropout: The dropout rate of embeddings, attention and feed-forward layers.
        max_history: The number of the newest items of a history that the network sees.
        learning_rate: The constant learning rate of Adam.
        batch_size: The number of users per step.
        epochs: The largest number of epochs.
        patience: The number of epochs without a better validation NDCG@10 after which training stops.
        seed: The seed of weights, batches and dropout.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.3
    max_history: int = 100
    learning_rate: float = 2e-3
    batch_size: int = 32
    epochs: int = 150
    patience: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width={self.width} is not a multiple of heads={self.heads}")


_DEFAULTS = SasrecOptions()


def simple_folder(name: str, dataset: Dataset, config: TrialConfig, home: Home) -> Path:
    """The folder of the answers of a baseline that is not trained to the questions of `config`.

    Settings that do not change the answers do not count, such as beams and how much of a history prompts show.
    """
    asked = {**_asked(config.tasks, config), "seed": config.seed}
    return (
        home.baselines
        / f"{name}-{fingerprint(name, dataset.fingerprint, asked, code_identity(*SIMPLE_BASELINE_ROOTS))}"
    )


def sasrec_folder(dataset: Dataset, config: TrialConfig, home: Home, options: SasrecOptions = _DEFAULTS) -> Path:
    """The folder of SASRec's answers to the questions of `config`.

    Settings that do not change the answers do not count, such as beams and how much of a history prompts show.
    """
    asked = _asked(ranking_tasks(config), config)
    identity = fingerprint(dataclasses.asdict(options), dataset.fingerprint, asked, code_identity(*SASREC_ROOTS))
    return home.baselines / f"sasrec-{identity}"


def ranking_tasks(config: TrialConfig) -> list[Task]:
    """The tasks of `config` that end in a ranked list, in their order."""
    return [task for task in config.tasks if task in RANKING_TASKS]


def _asked(tasks: Sequence[Task], config: TrialConfig) -> dict[str, Any]:
    """What determines the test questions of these tasks, and the items that may be ranked."""
    return {
        "tasks": list(tasks),
        "templates": [getattr(config, f"{task}_template") for task in tasks],
        "exclude_history": config.exclude_history,
        "test_users": config.test_users,
    }
