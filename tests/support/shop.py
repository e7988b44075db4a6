"""Prompts, features and trials on the small shop of the tests."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import torch

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import FeatureStore
from vip5core.model import Backbone
from vip5core.prompts import PromptTables, Sample, train_tokenizer
from vip5core.templates import Template, default_templates
from vip5core.trial import fresh_backbone as built_in
from vip5core.trial.components import TrialComponents
from vip5core.trial.p5_spec import p5_config
from vip5core.wording import dataset_texts

WITHOUT_IMAGE = (3, 17)  # items whose image could not be read

_SMALL: dict[str, Any] = {
    "encoder_weights": "tiny",
    "backbone": "tiny",
    "epochs": 2,
    "batch_size": 40,
    "learning_rate": 1e-2,
    "dropout": 0.0,
    "samples_per_user": (1, 1, 1, 1),
    "train_candidates": 5,
    "validation_users": 8,
    "num_beams": 10,
    "max_target_tokens": 16,
}


def small_config(**changes: Any) -> TrialConfig:
    """A trial of seconds."""
    return TrialConfig(**{**_SMALL, **changes})


def random_features(dataset: Dataset, width: int = 12, seed: int = 0) -> FeatureStore:
    """Features of a random encoder; the items of `WITHOUT_IMAGE` have none."""
    features = np.random.default_rng(seed).normal(size=(dataset.n_items + 1, width)).astype(np.float32)
    features[[0, *WITHOUT_IMAGE]] = 0.0
    ledger = pd.DataFrame({"item": np.array(WITHOUT_IMAGE, dtype=np.int32), "reason": "empty file"})
    return FeatureStore(features, ledger, f"random {width} {seed}")


def small_components(dataset: Dataset, dropout: float = 0.0, seed: int = 0) -> TrialComponents:
    """The components of a new trial: an untrained tiny backbone and random features."""
    return TrialComponents(dataset, fresh_backbone(dataset, dropout, seed), random_features(dataset))


def fresh_backbone(dataset: Dataset, dropout: float = 0.0, seed: int = 0) -> Backbone:
    return built_in.fresh_backbone(dataset, p5_config(seed=seed, dropout=dropout))


@functools.lru_cache(maxsize=2)
def _tokenizer_of(texts: tuple[str, ...]) -> Any:
    return train_tokenizer(texts, vocabulary=400)


def shop_tokenizer(dataset: Dataset) -> Any:
    """A tokenizer of our own with few pieces, so that many words are split."""
    texts = {field: rows for field, rows in dataset_texts(dataset).items() if field != "item"}
    return _tokenizer_of(tuple(text for rows in texts.values() for text in rows))


def shop_tables(dataset: Dataset) -> PromptTables:
    return PromptTables.build(dataset, shop_tokenizer(dataset), default_templates())


def random_sample(template: Template, dataset: Dataset, rng: np.random.Generator, longest: int = 12) -> Sample:
    """A random prompt of a template: user, items, lists and answer are drawn."""

    def items() -> np.ndarray:
        return rng.integers(1, dataset.n_items + 1, rng.integers(1, longest + 1))

    row = int(rng.integers(len(dataset.explanations)))
    return Sample(
        template,
        user=int(rng.integers(1, dataset.n_users + 1)),
        item=int(rng.integers(1, dataset.n_items + 1)),
        history=items(),
        candidates=items(),
        answer=bool(rng.integers(2)),
        explanation_row=row,
        separator=int(rng.integers(2)),
    )


def state_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
