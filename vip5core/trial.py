"""One trial, from its config to a folder that holds all there is to know of it.

    result.json             what was asked, what came out, what it cost, with which versions
    per_user.parquet        one row per user and task; see vip5core.evaluation.results, and of a probed trial one row
                            per item and probe with task=probe; see vip5core.evaluation.probe
    trainable.safetensors   the trained parameters of the best epoch

The folder is named by the trial's fingerprint and appears whole or not at all.
"""

from __future__ import annotations

import functools
import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.evaluation.probe import probe
from vip5core.features import FeatureStore
from vip5core.fingerprint import code_version
from vip5core.model import VIP5
from vip5core.model.backbone import backbone_fingerprint, load_backbone
from vip5core.model.build import count_parameters
from vip5core.prompts import PromptTables, default_templates
from vip5core.prompts.tokenizer import load_tokenizer
from vip5core.storage import whole_folder
from vip5core.training.group import Group
from vip5core.training.loop import Fitted, Report, fit, load_trainable
from vip5core.trial_inputs import TrialInputs

_RESULT, _PER_USER, _WEIGHTS = "result.json", "per_user.parquet", "trainable.safetensors"
_PACKAGES = ("torch", "transformers", "open_clip_torch", "ray", "optuna", "mlflow", "numpy", "pandas")


@dataclass(frozen=True)
class TrialSpec:
    """A trial and where its inputs lie: all that a worker on another machine needs.

    Attributes:
        config: what is asked.
        dataset: folder of the dataset.
        backbone: folder of the backbone.
        features: folder of the feature store, or None for a text-only trial.
        fingerprint: the trial's identity; see `TrialConfig.fingerprint`.
    """

    config: TrialConfig
    dataset: Path
    backbone: Path
    features: Path | None
    fingerprint: str

    @classmethod
    def of(cls, config: TrialConfig, dataset: Path, backbone: Path, features: Path | None) -> TrialSpec:
        """The spec of `config` on these inputs. A text-only config needs no features and drops them."""
        features = features if config.uses_images else None
        if config.uses_images and features is None:
            raise UserError(f"image_tokens={config.image_tokens} needs image features: extract them first")
        identity = config.fingerprint(
            _dataset(dataset).fingerprint,
            _backbone(backbone),
            features.name if features is not None else None,
        )
        return cls(config, dataset, backbone, features, identity)

    def folder(self, home: Path) -> Path:
        """Where the finished trial lies."""
        return home / "trials" / self.fingerprint

    def checkpoint(self, home: Path) -> Path:
        """Where the running trial keeps its state after each epoch."""
        return home / "trials" / f"{self.fingerprint}.running.pt"

    def finished(self, home: Path) -> bool:
        return (self.folder(home) / _RESULT).is_file()


@dataclass(frozen=True)
class StudyInputs:
    """What the trials of a study share, as folders.

    Attributes:
        home: everything is written under it.
        dataset: folder of the dataset.
        backbone: folder of the backbone.
        features: feature store of each encoder, by name and weights as a config has them.
    """

    home: Path
    dataset: Path
    backbone: Path
    features: dict[tuple[str, str], Path]

    def spec(self, config: TrialConfig) -> TrialSpec:
        return TrialSpec.of(
            config, self.dataset, self.backbone, self.features.get((config.encoder, config.encoder_weights))
        )


@dataclass(frozen=True)
class TrialResult:
    """What a finished trial's folder says.

    Attributes:
        folder: the trial's folder.
        config: what was asked.
        metrics: `test/`, `probe/`, `cost/` and `model/` metrics, and the `valid/` metrics of the best epoch.
        history: metrics of each epoch.
        record: fingerprints, versions, hardware.
    """

    folder: Path
    config: TrialConfig
    metrics: dict[str, float]
    history: list[dict[str, float]]
    record: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> TrialResult:
        """Raises: UserError if `folder` holds no trial that this code can read."""
        try:
            data = json.loads((folder / _RESULT).read_text("utf-8"))
            return cls(folder, TrialConfig(**data["config"]), data["metrics"], data["history"], data["record"])
        except (OSError, ValueError, KeyError) as error:  # pydantic's errors are ValueErrors
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{str(folder)!r} holds no trial that can be read ({reason}): run its study again"
            ) from None

    @property
    def per_user(self) -> pd.DataFrame:
        """One row per user and task. Raises: UserError if they are gone."""
        try:
            return pd.read_parquet(self.folder / _PER_USER)
        except (OSError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"the per-user results of {str(self.folder)!r} cannot be read ({reason})") from None


def run_trial(
    spec: TrialSpec,
    home: Path,
    report: Report,
    *,
    group: Group | None = None,
    device: torch.device | str = "cpu",
) -> Path:
    """Train, choose the best epoch by validation, test it once, and write the trial's folder.

    A trial that is finished is not run again; one that was cut off goes on after its last whole epoch.

    Args:
        home: the folder lies in `home/trials/`.
        report: gets each epoch's validation metrics; it never sees a test metric.
        group: the workers of a data-parallel trial; rank 0 writes.
        device: where the model lives.

    Raises:
        DivergedError: when the loss is not finite.
        UserError: when inputs cannot be read.
    """
    group, device = group or Group(), torch.device(device)
    out = spec.folder(home)
    if spec.finished(home):
        return out
    config = spec.config
    inputs = TrialInputs(
        _dataset(spec.dataset),
        load_backbone(spec.backbone, config.dropout),
        FeatureStore.load(spec.features) if spec.features is not None else None,
    )
    inputs.tables = _tables(spec.dataset, spec.backbone)
    model = inputs.model(config).to(device)
    evaluator = inputs.evaluator(config, group)
    checkpoint = spec.checkpoint(home)
    fitted = fit(model, inputs.training_data(config), evaluator, config, report, group=group, checkpoint=checkpoint)
    load_trainable(model, fitted.best_state)
    with fitted.watch.measure("test", device):
        test, rows = evaluator.test(model)
    peaks = group.gather(fitted.peak_memory_mb)
    if group.rank == 0:
        if config.probe and inputs.features is not None:
            with fitted.watch.measure("probe", device):
                probed, items = probe(model, inputs.dataset, inputs.features.has_image)
            test, rows = {**test, **probed}, pd.concat([rows, items], ignore_index=True)
        metrics = {**test, **_valid(fitted), **_costs(fitted, max(peaks)), **_size(model)}
        _write(spec, out, metrics, fitted, rows, device, group)
        checkpoint.unlink(missing_ok=True)
    return out


@functools.lru_cache(maxsize=2)
def _dataset(folder: Path) -> Dataset:
    """A worker process serves trial after trial on one dataset: it is read and checked once."""
    return Dataset.load(folder)


@functools.lru_cache(maxsize=2)
def _backbone(folder: Path) -> str:
    """Likewise the backbone's fingerprint, for which all its weights are read."""
    return backbone_fingerprint(folder)


@functools.lru_cache(maxsize=2)
def _tables(dataset: Path, backbone: Path) -> PromptTables:
    """Likewise the prompts' segments: they depend on the dataset and the tokenizer alone."""
    return PromptTables.build(_dataset(dataset), load_tokenizer(backbone), default_templates())


def _valid(fitted: Fitted) -> dict[str, float]:
    best = fitted.history[fitted.best_epoch - 1]
    return {name: value for name, value in best.items() if name.startswith("valid/")}


def _costs(fitted: Fitted, peak_memory_mb: float) -> dict[str, float]:
    watch = fitted.watch
    parts = ("train", "data", "validation", "test", *(["probe"] if "probe" in watch.seconds else []))
    seconds = {f"cost/{name}_seconds": watch[name] for name in parts}
    return {
        **seconds,
        "cost/seconds": watch["train"] + watch["validation"] + watch["test"] + watch["probe"],
        "cost/peak_memory_mb": peak_memory_mb,
        "cost/samples_per_second": fitted.samples / watch["train"],
        "model/best_epoch": float(fitted.best_epoch),
    }


def _size(model: VIP5) -> dict[str, float]:
    count = count_parameters(model)
    return {
        "model/trainable_parameters": float(count.trainable),
        "model/total_parameters": float(count.total),
        "model/trainable_percent": count.percent,
    }


def _write(
    spec: TrialSpec,
    out: Path,
    metrics: dict[str, float],
    fitted: Fitted,
    rows: pd.DataFrame,
    device: torch.device,
    group: Group,
) -> None:
    record = {
        "fingerprint": spec.fingerprint,
        "code": code_version(),
        "dataset": {"name": _dataset(spec.dataset).name, "fingerprint": _dataset(spec.dataset).fingerprint},
        "backbone": {"name": spec.config.backbone, "fingerprint": _backbone(spec.backbone)},
        "features": spec.features.name if spec.features is not None else None,
        "workers": group.size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), **_versions()},
    }
    with whole_folder(out) as folder:
        rows.to_parquet(folder / _PER_USER, index=False)
        save_file({name: t.contiguous() for name, t in fitted.best_state.items()}, folder / _WEIGHTS)
        result = {
            "config": spec.config.model_dump(mode="json"),
            "metrics": metrics,
            "history": fitted.history,
            "record": record,
        }
        (folder / _RESULT).write_text(json.dumps(result, indent=2), "utf-8")


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
