"""Run one trial, from its spec to the folder that holds all there is to know of it (`vip5core.trial.result`)."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import pandas as pd
import torch

from vip5core.data.dataset import open_dataset
from vip5core.data.feature_store import FeatureStore
from vip5core.distributed import WorkerGroup
from vip5core.evaluation.probe import probe
from vip5core.fingerprint import code_version
from vip5core.home import Home
from vip5core.model import VIP5, backbone_fingerprint, count_parameters, load_backbone
from vip5core.prompts import PromptTables, load_tokenizer
from vip5core.templates import default_templates
from vip5core.training.loop import Fitted, Report, fit, load_trainable
from vip5core.trial.components import TrialComponents
from vip5core.trial.result import Content, TrialRecord, TrialResult, package_versions
from vip5core.trial.spec import TrialSpec


def run_trial(
    spec: TrialSpec,
    home: Home,
    report: Report,
    *,
    group: WorkerGroup | None = None,
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
    group, device = group or WorkerGroup(), torch.device(device)
    out = spec.folder(home)
    if spec.finished(home):
        return out
    config = spec.config
    inputs = TrialComponents(
        open_dataset(spec.dataset),
        load_backbone(spec.backbone, config.dropout),
        FeatureStore.load(spec.features) if spec.features is not None else None,
    )
    inputs.tables = _tables(spec.dataset, spec.backbone)
    model = inputs.model(config).to(device)
    evaluator = inputs.evaluator(config, group)
    checkpoint = spec.checkpoint(home)
    fitted = fit(model, inputs.training_data(config), evaluator, config, report, group=group, checkpoint=checkpoint)
    load_trainable(model, fitted.best_state)
    with fitted.stopwatch.measure("test", device):
        test, rows = evaluator.test(model)
    peaks = group.gather(fitted.peak_memory_mb)
    if group.rank == 0:
        if config.probe and inputs.features is not None:
            with fitted.stopwatch.measure("probe", device):
                probed, items = probe(model, inputs.dataset, inputs.features.has_image)
            test, rows = {**test, **probed}, pd.concat([rows, items], ignore_index=True)
        metrics = {**test, **_valid(fitted), **_costs(fitted, max(peaks)), **_size(model)}
        result = TrialResult(out, config, metrics, fitted.history, _record(spec, device, group))
        result.save(rows, fitted.best_state)
        checkpoint.unlink(missing_ok=True)
    return out


@functools.lru_cache(maxsize=2)
def _tables(dataset: Path, backbone: Path) -> PromptTables:
    """A worker process serves trial after trial on one dataset: its prompts are tokenised once."""
    return PromptTables.build(open_dataset(dataset), load_tokenizer(backbone), default_templates())


def _valid(fitted: Fitted) -> dict[str, float]:
    best = fitted.history[fitted.best_epoch - 1]
    return {name: value for name, value in best.items() if name.startswith("valid/")}


def _costs(fitted: Fitted, peak_memory_mb: float) -> dict[str, float]:
    watch = fitted.stopwatch
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


def _record(spec: TrialSpec, device: torch.device, group: WorkerGroup) -> TrialRecord:
    dataset = open_dataset(spec.dataset)
    return TrialRecord(
        fingerprint=spec.fingerprint,
        code=code_version(),
        dataset=Content(name=dataset.name, fingerprint=dataset.fingerprint),
        backbone=Content(name=spec.config.backbone, fingerprint=backbone_fingerprint(spec.backbone)),
        features=spec.features.name if spec.features is not None else None,
        workers=group.size,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        threads=torch.get_num_threads(),
        versions=package_versions(),
    )
