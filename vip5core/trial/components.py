"""What a trial consists of: opened once, then assembled as its config says."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import FeatureStore
from vip5core.distributed import WorkerGroup
from vip5core.errors import UserError
from vip5core.evaluation.evaluate import Evaluator
from vip5core.model import (
    ID_TOKEN_ROWS,
    VIP5,
    Backbone,
    add_id_tokens,
    build_vip5,
    cast_frozen,
    draw_id_tokens,
)
from vip5core.prompts import Layout, PromptTables, TrainingSampler
from vip5core.templates import default_templates
from vip5core.training.loop import TrainingData


@dataclass
class TrialComponents:
    """A dataset, a backbone and image features, if any. Models change their backbone: each trial loads a fresh one."""

    dataset: Dataset
    backbone: Backbone
    features: FeatureStore | None

    @functools.cached_property
    def tables(self) -> PromptTables:
        return PromptTables.build(self.dataset, self.backbone.tokenizer, default_templates())

    def layout(self, config: TrialConfig) -> Layout:
        """The layout of prompts.

        Raises:
            UserError: if the id of an item does not fit a target.
        """
        longest = max(map(len, self.tables.item_ids)) + 1
        if longest > config.max_target_tokens:
            raise UserError(
                f"max_target_tokens={config.max_target_tokens}: item ids of {self.dataset.name} "
                f"({self.dataset.manifest.id_scheme}) have up to {longest} tokens, </s> included; set at least that"
            )
        nothing = np.zeros(self.dataset.n_items + 1, dtype=bool)
        return Layout(
            image_tokens=config.image_tokens,
            has_image=self.features.has_image if self.features is not None else nothing,
            max_source_tokens=config.max_source_tokens,
            max_target_tokens=config.max_target_tokens,
        )

    def model(self, config: TrialConfig) -> VIP5:
        """The model, initialised with the config's seed. It holds the image features, for training and evaluation."""
        features = None
        if config.uses_images:
            assert self.features is not None, "image tokens need features"
            scaled = self.features.scaled(config.feature_scaling)
            if config.images == "shuffled":
                scaled = shuffle_images(scaled, self.features.has_image, config.seed)
            features = torch.from_numpy(scaled)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            came = self.backbone
            placeholder = came.model.get_input_embeddings().weight[self.tables.placeholder].detach()
            rows = self._id_token_rows(config.seed) if self.dataset.n_id_tokens else None
            model = build_vip5(came.model, config, features, came.extra_embeddings, came.adapters, placeholder)
            if rows is not None:
                add_id_tokens(model.backbone, rows, self.tables.first_id_token)
        if config.precision == "bfloat16":
            cast_frozen(model)
        return model

    def _id_token_rows(self, seed: int) -> dict[str, Tensor]:
        """The rows of the tokens of item ids: those that came with the backbone, or new ones.

        Raises:
            UserError: if the ids that the backbone has learnt are others.
        """
        count = self.dataset.n_id_tokens
        came = {name: rows for name, rows in (self.backbone.extra_embeddings or {}).items() if name in ID_TOKEN_ROWS}
        learnt = {len(rows) for rows in came.values()} or {count}
        if learnt != {count}:
            raise UserError(
                f"this backbone has learnt item ids of {max(learnt)} tokens, and those of {self.dataset.name} "
                f"({self.dataset.manifest.id_scheme}) have {count}: give p5: and the T5 that it was made of"
            )
        return came or draw_id_tokens(self.backbone.model, count, seed)

    def training_data(self, config: TrialConfig, placeholders: int = 0) -> TrainingData:
        sampler = TrainingSampler(self.dataset, self.tables.templates, config, config.seed, placeholders)
        return TrainingData(sampler, self.tables, self.layout(config))

    def evaluator(self, config: TrialConfig, group: WorkerGroup | None = None) -> Evaluator:
        return Evaluator(self.dataset, self.tables, self.layout(config), self.backbone.tokenizer, config, group)


def shuffle_images(features: np.ndarray, has_image: np.ndarray, seed: int) -> np.ndarray:
    """The features of items that have one, permuted among them: each item gets the image of another item.

    The permutation is one random cycle, so that no item keeps its own, unless it is the only one with an image.

    Args:
        features: The features of all items; row i is item i. Shape: [items + 1, width].
        has_image: Whether each item has a feature. Shape: [items + 1], bool.
        seed: The seed of the permutation.

    Returns:
        A copy in which items without a feature are as they were. Shape: [items + 1, width].
    """
    cycle = np.random.default_rng([seed, len(features)]).permutation(np.flatnonzero(has_image))
    result = features.copy()
    result[cycle] = features[np.roll(cycle, 1)]
    return result
