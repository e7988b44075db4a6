"""Which backbone the P5 stage trains, and where it is kept; `vip5core.trial.p5_stage` trains it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vip5core.config import P5Config
from vip5core.data.dataset import Dataset
from vip5core.fingerprint import code_version, fingerprint
from vip5core.home import Home
from vip5core.presets import P5


def p5_config(**changes: Any) -> P5Config:
    """The config of the stage, with `changes`."""
    return P5Config(**{**P5, **changes})


def p5_fingerprint(dataset: Dataset, config: P5Config) -> str:
    """The identity of the backbone that the stage produces."""
    return fingerprint("p5", config.model_dump(mode="json"), dataset.fingerprint, code_version())


@dataclass(frozen=True)
class P5Stage:
    """The training of one built-in backbone on one dataset.

    Attributes:
        dataset: The dataset whose prompts it is trained on.
        config: The settings of the training; those of its preset, and the name of the backbone.
        folder: The folder of the backbone, which appears when it is complete.
    """

    dataset: Dataset
    config: P5Config
    folder: Path

    @classmethod
    def of(cls, name: str, dataset: Dataset, home: Home, epochs: int | None = None) -> P5Stage:
        """The stage of the backbone `name`.

        Args:
            name: A name in `BUILT_IN`.
            dataset: The dataset.
            home: The home whose `backbones/` gets the folder.
            epochs: The epochs; by default those of the preset.
        """
        config = p5_config(backbone=name, **({"epochs": epochs} if epochs is not None else {}))
        return cls(dataset, config, home.backbones / f"{name}-{p5_fingerprint(dataset, config)}")

    @property
    def label(self) -> str:
        """The backbone, the dataset and its ids, in words."""
        return f"P5 stage of {self.config.backbone} on {self.dataset.name}, {self.dataset.manifest.id_scheme} ids"
