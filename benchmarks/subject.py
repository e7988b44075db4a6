"""What is measured: VIP5 at a given size, untrained, on a dataset, with random image features."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase, T5Config, T5ForConditionalGeneration

from benchmarks.measure import Clock
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import FeatureStore
from vip5core.model import VIP5, Backbone, built_in_config
from vip5core.prompts import load_tokenizer
from vip5core.trial.components import TrialComponents
from vip5core.trial.fresh_backbone import fresh_backbone
from vip5core.trial.p5_spec import p5_config
from vip5core.vocabulary import ENCODERS, TINY

#: T5-small's: the built-in tokenizer's vocabulary is filled up to it, so that the output layer costs what T5's does.
_VOCABULARY = 32_128


@dataclass(frozen=True)
class Subject:
    """Settings that all benchmarks share.

    Attributes:
        dataset: a prepared dataset.
        tokenizer: folder of a T5 tokenizer; None for one of the dataset's words.
        device, precision: where and how the model computes.
        repeats: how often each way is timed.
        size: `t5-small` or `tiny`.
        settings: changes to the paper's defaults.
    """

    dataset: Dataset
    tokenizer: Path | None
    device: torch.device
    precision: str
    repeats: int
    size: str = "t5-small"
    settings: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def config(self) -> TrialConfig:
        return TrialConfig(**{"precision": self.precision, "dropout": 0.1, **self.settings})

    @property
    def clock(self) -> Clock:
        return Clock(self.device)

    @functools.cached_property
    def inputs(self) -> TrialComponents:
        return TrialComponents(self.dataset, self._backbone, self._store)

    @functools.cached_property
    def model(self) -> VIP5:
        return self.inputs.model(self.config).to(self.device)

    @property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(self.tokenizer) if self.tokenizer else fresh_backbone(self.dataset, p5_config()).tokenizer

    @functools.cached_property
    def _backbone(self) -> Backbone:
        if self.size == "tiny":
            config = built_in_config(TINY, len(self._tokenizer), self.config.dropout)
        else:
            config = T5Config(
                vocab_size=_VOCABULARY,
                d_model=512,
                d_kv=64,
                d_ff=2048,
                num_layers=6,
                num_heads=8,
                dropout_rate=self.config.dropout,
                decoder_start_token_id=0,
            )
        torch.manual_seed(0)
        return Backbone(T5ForConditionalGeneration(config), self._tokenizer, None)

    @functools.cached_property
    def features(self) -> np.ndarray:
        """As the mapping network gets them. Shape: [items + 1, feature width]."""
        return self._store.scaled(self.config.feature_scaling)

    @functools.cached_property
    def _store(self) -> FeatureStore:
        """Random features of the encoder's width, one for every item."""
        shape = (self.dataset.n_items + 1, ENCODERS[self.config.encoder].feature_width)
        features = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        features[0] = 0
        return FeatureStore(features, pd.DataFrame({"item": [], "reason": []}).astype({"item": int}), "random")
