"""The P5 stage: a backbone learns the language of the prompts before it is frozen.

VIP5 puts adapters on a frozen P5: a T5 that was trained on the dataset's text-only prompts with full tuning (Geng et
al., 2022). The stage makes one of any T5, pretrained or built in, once per dataset, and every trial starts from it.

The backbone should learn the language of the prompts, not the facts that trials measure: if it had memorised how every
item is described, images could add nothing. It is therefore trained on the explanations of half of the items only.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from vip5core.backbones import P5_RECORD, backbone_fingerprint
from vip5core.config import P5Config
from vip5core.data.dataset import Dataset
from vip5core.distributed import WorkerGroup
from vip5core.fingerprint import code_version
from vip5core.model import Backbone, load_backbone, remove_id_tokens, save_backbone
from vip5core.prompts import TrainingSampler
from vip5core.templates import default_templates
from vip5core.training.loop import Report, Saved, fit, load_trainable
from vip5core.trial.components import TrialComponents
from vip5core.trial.fresh_backbone import fresh_backbone
from vip5core.trial.measures import best_validation, device_name, host_names, measure_costs, measure_size
from vip5core.trial.p5_record import P5Record
from vip5core.trial.result import Content, TrialRecord, package_versions


def make_p5_backbone(
    dataset: Dataset,
    config: P5Config,
    out: Path,
    report: Report,
    device: torch.device,
    *,
    start: Path | None = None,
    group: WorkerGroup | None = None,
    checkpoint: Path | None = None,
    saved: Saved = lambda path: None,
) -> Path:
    """Train the T5 of `config` on `dataset`, and write it to `out`, completely or not at all.

    A backbone that is there already is not trained again; a stage that was interrupted continues after its last
    complete epoch.

    Args:
        dataset: The dataset whose prompts it is trained on.
        config: The settings of the stage.
        out: The folder of the backbone.
        report: Called after each epoch, on every worker, with the metrics of the epoch.
        device: The device of the model.
        start: The folder of the pretrained T5 that it starts from; without one, `config` names a built-in one.
        group: The workers of a data-parallel stage; the one with rank 0 writes.
        checkpoint: The file that keeps the state after each epoch; it is removed at the end.
        saved: Called with that file whenever it was written.

    Returns:
        `out`.

    Raises:
        DivergedError: if the loss is not finite.
        UserError: if no T5 can be read from `start`.
    """
    group = group or WorkerGroup()
    if out.is_dir():
        for metrics in P5Record.load(out).history:
            report(metrics)
        return out
    half = _explain_half(dataset, config.seed)
    backbone = fresh_backbone(half, config) if start is None else load_backbone(start, config.dropout)
    inputs = TrialComponents(half, backbone, None)
    model = inputs.model(config).to(device)
    evaluator = inputs.evaluator(config, group)
    data = inputs.training_data(config, config.image_placeholders)
    fitted = fit(model, data, evaluator, config, report, group=group, checkpoint=checkpoint, saved=saved)
    peaks, hosts = group.gather(fitted.peak_memory_mb), host_names(group)
    if group.rank:
        return out
    load_trainable(model, fitted.best_state)
    record = TrialRecord(
        fingerprint=out.name,
        code=code_version(),
        dataset=Content(name=dataset.name, fingerprint=dataset.fingerprint),
        backbone=Content(name=config.backbone, fingerprint=backbone_fingerprint(start)) if start is not None else None,
        workers=group.size,
        device=device_name(device),
        host=hosts,
        threads=torch.get_num_threads(),
        versions=package_versions(),
    )
    metrics = {**best_validation(fitted), **measure_costs(fitted, max(peaks)), **measure_size(model)}
    extra = {
        name: value.cpu() for name, value in model.state_dict().items() if name.split(".")[0].endswith("_embeddings")
    }
    extra |= remove_id_tokens(model.backbone.cpu())
    trained = Backbone(model.backbone, backbone.tokenizer, extra)
    save_backbone(trained, out, {P5_RECORD: P5Record(config, metrics, fitted.history, record).text})
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return out


def prompts_per_epoch(dataset: Dataset, config: P5Config) -> int:
    """The number of prompts of an epoch of the stage."""
    half = _explain_half(dataset, config.seed)
    return len(TrainingSampler(half, default_templates(), config, config.seed))


def _explain_half(dataset: Dataset, seed: int) -> Dataset:
    """`dataset` without the training explanations of a random half of its items."""
    items = np.random.default_rng([seed, dataset.n_items]).permutation(np.arange(1, dataset.n_items + 1))
    rows = dataset.explanations
    kept = (rows["split"] != "train") | rows["item"].isin(items[: dataset.n_items // 2])
    return dataclasses.replace(dataset, explanations=rows[kept].reset_index(drop=True))
