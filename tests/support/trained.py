"""A home with one trained trial on the smallest shop, images included: what using a model needs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from support.shop import fresh_backbone, random_features, small_config
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import create_features, finish_store
from vip5core.home import Home
from vip5core.model import save_backbone
from vip5core.serving import ModelFiles
from vip5core.storage import atomic_folder
from vip5core.trial.run import run_trial
from vip5core.trial.spec import TrialSpec


def home_with_inputs(root: Path, shop: Dataset) -> Home:
    """A home with the shop, a tiny backbone and random features of its pictures."""
    home = Home(root)
    shutil.copytree(shop.folder, home.datasets / shop.folder.name)
    save_backbone(fresh_backbone(shop), home.backbones / "tiny-untrained")
    made = random_features(shop)
    with atomic_folder(home.features / "random") as folder:
        features = create_features(folder, shop.n_items, made.features.shape[1])
        features[:] = made.features
        reasons = dict(zip(made.ledger["item"].tolist(), made.ledger["reason"], strict=True))
        finish_store(folder, features, reasons, {"dataset": shop.fingerprint}, "random")
    return home


def train_in(home: Home, **changes: Any) -> ModelFiles:
    """Train one epoch of a small trial in such a home."""
    (dataset,) = home.datasets.iterdir()
    config = small_config(**{"epochs": 1, "validation_users": 4, **changes})
    spec = TrialSpec.of(config, dataset, home.backbones / "tiny-untrained", home.features / "random")
    return ModelFiles(run_trial(spec, home, lambda metrics: None), spec.dataset, spec.backbone, spec.features)
