"""Run one trial, from its spec to the folder of its result (`vip5core.trial.result`)."""

from __future__ import annotations

import functools
from pathlib import Path

import pandas as pd
import torch

from vip5core.backbones import backbone_fingerprint
from vip5core.data.dataset import open_dataset
from vip5core.data.feature_store import FeatureStore
from vip5core.distributed import WorkerGroup
from vip5core.evaluation.probe import probe
from vip5core.fingerprint import code_version
from vip5core.home import Home
from vip5core.model import load_backbone
from vip5core.prompts import PromptTables, load_tokenizer
from vip5core.templates import default_templates
from vip5core.training.loop import Report, fit, load_trainable
from vip5core.trial.components import TrialComponents
from vip5core.trial.measures import best_validation, device_name, host_names, measure_costs, measure_size
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

    A finished trial is not run again; one that was interrupted continues after its last complete epoch.

    Examples:
        >>> import shutil
        >>> import tempfile
        >>> from vip5core.config import TrialConfig
        >>> from vip5core.data.sources import prepare
        >>> from vip5core.model import save_backbone
        >>> from vip5core.trial.fresh_backbone import fresh_backbone
        >>> from vip5core.trial.p5_spec import p5_config
        >>> home = Home(Path(tempfile.mkdtemp()))
        >>> dataset = prepare("minimart:40", None, home)
        >>> backbone = save_backbone(fresh_backbone(open_dataset(dataset), p5_config()), home.backbones / "untrained")
        >>> few = {"samples_per_user": (1, 0, 0, 0), "validation_users": 5, "test_users": 5, "num_beams": 10}
        >>> config = TrialConfig(backbone="tiny", tasks=("sequential",), image_tokens=0, epochs=1, **few)
        >>> spec = TrialSpec.of(config, dataset, backbone, features=None)
        >>> folder = run_trial(spec, home, lambda metrics: print(f"epoch {metrics['epoch']:.0f}"))
        epoch 1
        >>> sorted(path.name for path in folder.iterdir())
        ['per_user.parquet', 'recommendations.parquet', 'result.json', 'trainable.safetensors']
        >>> len(TrialResult.load(folder).per_user)
        5
        >>> shutil.rmtree(home.root)

    Args:
        spec: The trial and its inputs.
        home: The home whose `trials/` gets the folder.
        report: Called after each epoch with its validation metrics; it never sees a test metric.
        group: The workers of a data-parallel trial; the one with rank 0 writes.
        device: The device of the model.

    Returns:
        The trial's folder.

    Raises:
        DivergedError: if the loss is not finite.
        UserError: if inputs cannot be read.
    """
    group, device = group or WorkerGroup(), torch.device(device)
    out = spec.folder(home)
    if spec.is_finished(home):
        return out
    spec.fetch_inputs(home)
    config = spec.config
    inputs = TrialComponents(
        open_dataset(spec.dataset),
        load_backbone(spec.backbone, config.dropout),
        FeatureStore.load(spec.features) if spec.features is not None else None,
    )
    inputs.tables = _load_tables(spec.dataset, spec.backbone)
    model = inputs.model(config).to(device)
    evaluator = inputs.evaluator(config, group)
    checkpoint, data = home.fetch(spec.checkpoint(home)), inputs.training_data(config)
    fitted = fit(model, data, evaluator, config, report, group=group, checkpoint=checkpoint, saved=home.publish)
    load_trainable(model, fitted.best_state)
    with fitted.stopwatch.measure("test", device):
        test, rows, lists = evaluator.test(model)
    peaks, hosts = group.gather(fitted.peak_memory_mb), host_names(group)
    if group.rank == 0:
        if config.probe and inputs.features is not None:
            with fitted.stopwatch.measure("probe", device):
                probed, items = probe(model, inputs.dataset, inputs.features.has_image)
            test, rows = {**test, **probed}, pd.concat([rows, items], ignore_index=True)
        metrics = {**test, **best_validation(fitted), **measure_costs(fitted, max(peaks)), **measure_size(model)}
        result = TrialResult(out, config, metrics, fitted.history, _make_record(spec, device, hosts, group.size))
        result.save(rows, fitted.best_state, lists)
        home.publish(out)
        home.discard(checkpoint)
    return out


@functools.lru_cache(maxsize=2)
def _load_tables(dataset: Path, backbone: Path) -> PromptTables:
    """Kept, for a worker process runs trial after trial on one dataset, whose texts are then tokenised once."""
    return PromptTables.build(open_dataset(dataset), load_tokenizer(backbone), default_templates())


def _make_record(spec: TrialSpec, device: torch.device, hosts: str, workers: int) -> TrialRecord:
    dataset = open_dataset(spec.dataset)
    return TrialRecord(
        fingerprint=spec.fingerprint,
        code=code_version(),
        dataset=Content(name=dataset.name, fingerprint=dataset.fingerprint),
        backbone=Content(name=spec.config.backbone, fingerprint=backbone_fingerprint(spec.backbone)),
        features=spec.features.name if spec.features is not None else None,
        workers=workers,
        device=device_name(device),
        host=hosts,
        threads=torch.get_num_threads(),
        versions=package_versions(),
    )
