"""What a finished trial leaves, and the only code that writes and reads it.

    result.json             the config, the metrics and the history, and how they came about
    per_user.parquet        one row per user and task (see vip5core.evaluation.results), and in a probed trial one row
                            per item and probe, with task=probe (see vip5core.evaluation.probe)
    recommendations.parquet what is recommended to each user (see vip5core.evaluation.finish); not in explanation-only
                            trials, nor in those of older versions
    trainable.safetensors   the trained parameters of the best epoch

The folder is written completely or not at all.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from vip5core.config import TrialConfig
from vip5core.errors import UserError, first_line
from vip5core.storage import atomic_folder

if TYPE_CHECKING:  # reading results needs no PyTorch
    from torch import Tensor

RESULT, _PER_USER, WEIGHTS = "result.json", "per_user.parquet", "trainable.safetensors"
_LISTS = "recommendations.parquet"
_PACKAGES = ("torch", "transformers", "open_clip_torch", "ray", "optuna", "mlflow", "numpy", "pandas")


class Content(BaseModel):
    """A dataset or backbone: its name, and the fingerprint of its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    fingerprint: str


class TrialRecord(BaseModel):
    """How a result came about.

    Attributes:
        fingerprint: The fingerprint of the trial.
        code: The identity of the code; see `vip5core.fingerprint.code_version`.
        dataset: The dataset that it was trained and tested on.
        backbone: The backbone that it started from; None for a baseline.
        features: The fingerprint of the image features; None without images.
        options: The options of a baseline; empty for a trial.
        workers: The number of data-parallel processes.
        device: The name of the hardware.
        host: The machine, or machines, that it was trained on; empty in results from before this was noted.
        threads: The number of CPU threads of each process.
        versions: The versions of Python and of the packages that matter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    code: str
    dataset: Content
    backbone: Content | None = None
    features: str | None = None
    options: dict[str, Any] = {}
    workers: int = 1
    device: str = "cpu"
    host: str = ""
    threads: int = 1
    versions: dict[str, str] = {}


def result_text(
    config: TrialConfig, metrics: Mapping[str, float], history: Sequence[Mapping[str, float]], record: TrialRecord
) -> str:
    """What a file of a training has: its config, metrics and history, and how they came about."""
    content = {
        "config": config.model_dump(mode="json"),
        "metrics": metrics,
        "history": history,
        "record": record.model_dump(mode="json"),
    }
    return json.dumps(content, indent=2)


@dataclass(frozen=True)
class TrialResult:
    """A finished trial, as its folder has it.

    Attributes:
        folder: The trial's folder.
        config: The settings of the trial.
        metrics: The `test/`, `probe/`, `cost/` and `model/` metrics, and the `valid/` metrics of the best epoch.
        history: The metrics of each epoch.
        record: How the result came about: fingerprints, versions, hardware.
    """

    folder: Path
    config: TrialConfig
    metrics: dict[str, float]
    history: list[dict[str, float]]
    record: TrialRecord

    def save(
        self,
        per_user: pd.DataFrame,
        weights: Mapping[str, Tensor] | None = None,
        lists: pd.DataFrame | None = None,
    ) -> None:
        """Write the folder.

        Args:
            per_user: The rows that the metrics summarise.
            weights: The trained parameters by name, if they are kept.
            lists: What is recommended to each user, if items are ranked.

        Raises:
            DiskFullError: if there is no space for it.
        """
        with atomic_folder(self.folder) as folder:
            per_user.to_parquet(folder / _PER_USER, index=False)
            if lists is not None:
                lists.to_parquet(folder / _LISTS, index=False)
            if weights is not None:
                from safetensors.torch import save_file

                save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
            (folder / RESULT).write_text(self.text, "utf-8")

    @property
    def text(self) -> str:
        """The content of the file `RESULT`."""
        return result_text(self.config, self.metrics, self.history, self.record)

    @classmethod
    def load(cls, folder: Path) -> TrialResult:
        """Read a trial's folder.

        Raises:
            UserError: if `folder` has no trial that this code can read.
        """
        try:
            data = json.loads((folder / RESULT).read_text("utf-8"))
            record = TrialRecord(**data["record"])
            return cls(folder, TrialConfig(**data["config"]), data["metrics"], data["history"], record)
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:  # pydantic's errors are ValueErrors
            raise UserError(
                f"{str(folder)!r} contains no readable trial ({first_line(error)}): run its study again"
            ) from None

    @property
    def per_user(self) -> pd.DataFrame:
        """One row per user and task.

        Raises:
            UserError: if they cannot be read.
        """
        try:
            return pd.read_parquet(self.folder / _PER_USER)
        except (OSError, ValueError) as error:
            reason = first_line(error)
            raise UserError(
                f"{str(self.folder)!r} has no per-user results to read ({reason}): run its study with --force"
            ) from None

    @property
    def lists(self) -> pd.DataFrame | None:
        """What is recommended to each user; None if that was not recorded.

        Raises:
            UserError: if it cannot be read.
        """
        path = self.folder / _LISTS
        try:
            return pd.read_parquet(path) if path.is_file() else None
        except (OSError, ValueError) as error:
            raise UserError(f"{str(path)!r} cannot be read ({first_line(error)}): run its study with --force") from None

    def load_weights(self) -> dict[str, Tensor]:
        """The trained parameters by name.

        Raises:
            UserError: if they were not kept, or cannot be read.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(self.folder / WEIGHTS)
        except (OSError, SafetensorError) as error:
            reason = first_line(error)
            raise UserError(
                f"{str(self.folder)!r} has no trained parameters to read ({reason}): run its study with --force"
            ) from None


def has_result(folder: Path) -> bool:
    """Is there a finished trial in `folder`?"""
    return (folder / RESULT).is_file()


def package_versions() -> dict[str, str]:
    """The versions of Python and of the packages that a result may depend on, as far as they are installed."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
