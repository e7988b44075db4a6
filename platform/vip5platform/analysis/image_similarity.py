"""How alike the images of the items in a list are, by the same features for all levels and baselines of a dataset.

A level knows the features of its own encoder or, without images, none; similarities by different features cannot be
compared. All lists are therefore measured by the features of the first level that has any, centred as the mapping
network sees them: 0 is then the similarity of items drawn at random.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vip5core.data.dataset import Dataset
from vip5core.home import Home
from vip5core.metrics import LIST_CUTOFF, mean_cosine
from vip5core.trial.result import TrialResult
from vip5platform.analysis.find_features import find_features

#: The most users of a task whose lists are measured, the same in every level: a report should not take minutes.
_USERS = 2_000


@dataclass(frozen=True)
class ImageSpace:
    """Image features of items.

    Attributes:
        encoder: The encoder that made them.
        directions: The centred features at length 1; zeros where an item has none. Shape: [items + 1, width].
        raw_ids: The raw ids of items 1, 2, …
    """

    encoder: str
    directions: np.ndarray
    raw_ids: pd.Index

    def similarities(self, lists: pd.DataFrame | None) -> dict[str, float]:
        """The mean over users of the mean cosine of all pairs of a list, by the full name of the metric.

        Args:
            lists: What is recommended; see `vip5core.evaluation.finish`. Items are found by their raw ids, for numbers
                differ between id schemes.
        """
        if lists is None:
            return {}
        first = lists[lists["rank"] <= LIST_CUTOFF]
        found = {str(task): self._mean(part) for task, part in first.groupby("task")}
        return {
            f"test/{task}/image_similarity_at_{LIST_CUTOFF}": value for task, value in found.items() if value == value
        }

    def _mean(self, lists: pd.DataFrame) -> float:
        items = self.raw_ids.get_indexer(pd.Index(lists["raw_item"].astype(str))) + 1
        users = lists["user"].to_numpy()
        if len(asked := pd.unique(users)) > _USERS:
            asked = np.random.default_rng(0).choice(asked, _USERS, replace=False)
        place = pd.Index(asked).get_indexer(users)
        padded = np.zeros((len(asked), LIST_CUTOFF), int)  # 0: an item without a direction
        padded[place[place >= 0], lists["rank"].to_numpy()[place >= 0] - 1] = items[place >= 0]
        values = mean_cosine(self.directions[padded])
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def find_space(trials: Iterable[tuple[TrialResult, Dataset | None]], home: Home) -> ImageSpace | None:
    """The features of the first of these trials that has any which can still be read; None if no trial has."""
    for result, dataset in trials:
        store = find_features(result, dataset, home) if dataset is not None else None
        if dataset is not None and store is not None:
            raw_ids = pd.Index(dataset.items["raw_id"].astype(str))
            return ImageSpace(result.config.encoder, _directions(store.scaled("standard")), raw_ids)
    return None


def _directions(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
