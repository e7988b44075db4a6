"""From a declaration and a command line to the list of trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vip5core.config import TrialConfig
from vip5core.encoders import EncoderChoice
from vip5core.errors import UserError
from vip5core.model.backbone import TINY
from vip5platform.study import Study

#: What differs from the paper's settings on the built-in backbone, which has to show something in minutes on two CPU
#: cores: twins of the encoders, a higher rate for its narrow adapters, fewer and shorter prompts. It knows no words but
#: those of its prompts, so it is asked for explanations with the feature and the title in sight (C-10), of which every
#: word of an explanation can be known.
EMBEDDED: dict[str, Any] = {
    "encoder_weights": "tiny",
    "epochs": 5,
    "batch_size": 72,
    "learning_rate": 2e-2,
    "dropout": 0.0,
    "samples_per_user": (2, 1, 1, 2),
    "train_candidates": 20,
    "explanation_template": "C-10",
}


@dataclass(frozen=True)
class Options:
    """What the command line says; see `vip5platform.cli` for each."""

    dataset: str = "minimart"
    source: Path | None = None
    ids: str | None = None
    backbone: str = TINY
    settings: tuple[tuple[str, str], ...] = ()
    seeds: int = 1
    epochs: int | None = None
    p5_epochs: int | None = None
    home: Path = Path("runs")
    tracking_uri: str | None = None
    address: str | None = None
    gpus_per_trial: float | None = None
    workers_per_trial: int = 1
    dry_run: bool = False

    def given_settings(self) -> dict[str, Any]:
        """What the user sets for every trial. Raises: UserError for what has an option of its own, or is said twice."""
        given: dict[str, Any] = dict(self.settings)
        for key, option in (("seed", "--seeds"), ("backbone", "--backbone")):
            if key in given:
                raise UserError(f"--set {key}={given[key]}: use {option} instead")
        if self.epochs is not None:
            if "epochs" in given:
                raise UserError(f"--epochs {self.epochs} and --set epochs={given['epochs']}: say it once")
            given["epochs"] = self.epochs
        return given


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a study: a cell and a seed."""

    cell: Mapping[str, str]
    config: TrialConfig

    @property
    def label(self) -> str:
        return ", ".join(self.cell.values()) + (f", seed {self.config.seed}" if self.config.seed else "")


def plan_trials(study: Study, options: Options) -> list[PlannedTrial]:
    """Every trial of `study`, checked.

    Raises:
        UserError: for an unknown or impossible setting, one that the study varies, or weights that are not there.
    """
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: must be at least 1")
    if options.p5_epochs is not None and options.p5_epochs < 1:
        raise UserError(f"--p5-epochs {options.p5_epochs}: must be at least 1")
    given = options.given_settings()
    common = common_settings(study, options)
    varied = {key for factor in study.factors for level in factor.levels.values() for key in level}
    for key, value in given.items():
        if key in varied:
            raise UserError(f"{key}={value}: {study.name} varies {key} itself; leave it out")
    for key in varied & {"backbone", "seed"}:
        raise UserError(f"{study.name} varies {key}: that is the command line's (--backbone, --seeds), not a factor")
    planned = []
    for cell in study.cells():
        for seed in range(options.seeds):
            config = TrialConfig.from_settings({**common, **study.settings_of(cell), "seed": seed})
            if config.uses_images:
                EncoderChoice(config.encoder, config.encoder_weights).weights_file()
            planned.append(PlannedTrial(cell, config))
    return planned


def common_settings(study: Study, options: Options) -> dict[str, Any]:
    """The settings of every trial: what goes with the backbone, then the study's, then the user's."""
    embedded = EMBEDDED if options.backbone == TINY else {}
    return {**embedded, **study.settings, **options.given_settings(), "backbone": options.backbone}


def encoders_of(configs: list[TrialConfig]) -> list[EncoderChoice]:
    """The encoders whose features these trials need, each once."""
    choices = [EncoderChoice(config.encoder, config.encoder_weights) for config in configs if config.uses_images]
    return list(dict.fromkeys(choices))
