"""The P5 stage: a backbone learns the language of the prompts before it is frozen.

VIP5 puts adapters on a pretrained T5. Where none can be downloaded, a built-in tiny T5 is trained on the dataset's
text-only prompts with full tuning, as P5 is (Geng et al., 2022): once per dataset, and every trial starts from it.

The backbone should learn the language of the prompts, not the facts that trials measure: if it had memorised how every
item is described, images could add nothing. It is therefore trained on the explanations of half of the items only.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from vip5core.config import P5Config
from vip5core.data.dataset import Dataset
from vip5core.model import Backbone, save_backbone
from vip5core.training.loop import Report, fit, load_trainable
from vip5core.trial.components import TrialComponents
from vip5core.trial.fresh_backbone import fresh_backbone


def make_p5_backbone(dataset: Dataset, config: P5Config, out: Path, report: Report, device: torch.device) -> Path:
    """Train the built-in backbone of `config` on `dataset`, and write it to `out`, completely or not at all."""
    dataset = _explain_half(dataset, config.seed)
    backbone = fresh_backbone(dataset, config)
    inputs = TrialComponents(dataset, backbone, None)
    model = inputs.model(config).to(device)
    fitted = fit(model, inputs.training_data(config), inputs.evaluator(config), config, report)
    load_trainable(model, fitted.best_state)
    extra = {
        name: value.cpu() for name, value in model.state_dict().items() if name.split(".")[0].endswith("_embeddings")
    }
    return save_backbone(Backbone(model.backbone.cpu(), backbone.tokenizer, extra), out)


def _explain_half(dataset: Dataset, seed: int) -> Dataset:
    """`dataset` without the training explanations of a random half of its items."""
    items = np.random.default_rng([seed, dataset.n_items]).permutation(np.arange(1, dataset.n_items + 1))
    rows = dataset.explanations
    kept = (rows["split"] != "train") | rows["item"].isin(items[: dataset.n_items // 2])
    return dataclasses.replace(dataset, explanations=rows[kept].reset_index(drop=True))
