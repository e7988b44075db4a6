"""Recommends items for histories: tables in, lists out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vip5core.errors import UserError
from vip5core.prompts import Sample
from vip5core.serving.catalogue import open_catalogue
from vip5core.serving.histories import Histories, number_histories
from vip5core.serving.trained import ModelFiles, TrainedModel


class Recommender:
    """A trained model that names the next items of histories.

    The history of a user is what the table says; who the user is counts too, if the model has been trained on them.

    Args:
        files: Where the parts of the model are.
        device: Where it computes; a GPU if there is one, unless it is given.

    Raises:
        UserError: if a part cannot be read, or the model was not trained to name next items.
    """

    def __init__(self, files: ModelFiles, device: torch.device | str | None = None) -> None:
        self.catalogue = open_catalogue(files.dataset)
        self.trained = TrainedModel(files, self.catalogue, device)
        config = self.trained.config
        if "sequential" not in config.tasks:
            raise UserError(
                f"tasks={','.join(config.tasks)}: this model was not trained to name next items; use a trial whose "
                "tasks have sequential"
            )
        self._template = self.trained.components.tables.templates[config.sequential_template]
        self._raw_items = self.catalogue.items["raw_id"].to_numpy()
        users = self.catalogue.users.iloc[:-1]
        self._user_of = dict(zip(users["raw_id"], users["user"].tolist(), strict=True))

    def recommend(self, histories: pd.DataFrame, k: int = 20) -> pd.DataFrame:
        """The `k` best next items for each user.

        Args:
            histories: The columns user and item, and time if the rows are not in time order; see `number_histories`.
            k: The length of each list.

        Returns:
            The columns user, rank (from 1), item and score (its log-probability). Items of the history are left out, if
            they were in the trial's own test (`exclude_history`).

        Raises:
            UserError: if the table or `k` cannot be used.
        """
        return self.rank(number_histories(histories, self.catalogue), k)

    def rank(self, histories: Histories, k: int = 20) -> pd.DataFrame:
        """What `recommend` gives, for histories that have been read."""
        self.check_length(k)
        lists = []
        if histories.users:
            samples = [self._sample(*history) for history in zip(histories.users, histories.items, strict=True)]
            nothing = np.empty(0, dtype=np.int64)
            excluded = histories.items if self.trained.config.exclude_history else [nothing] * len(samples)
            lists = self.trained.rank(samples, excluded, k)
        lengths = [len(found.items) for found in lists]
        numbers = np.array([item for found in lists for item in found.items], dtype=np.int64)
        return pd.DataFrame(
            {
                "user": np.repeat(np.array(histories.users, dtype=object), lengths),
                "rank": np.array([rank for length in lengths for rank in range(1, length + 1)], dtype=np.int32),
                "item": self._raw_items[numbers - 1],
                "score": np.array([score for found in lists for score in found.scores], dtype=np.float32),
            }
        ).astype({"user": "str", "item": "str"})

    def check_length(self, k: int) -> None:
        """Refuse an impossible length of lists.

        Raises:
            UserError: if it is not between 1 and the number of items.
        """
        if not 1 <= k <= self.catalogue.n_items:
            raise UserError(f"k={k}: must be between 1 and the number of items, {self.catalogue.n_items}")

    def _sample(self, user: str, items: np.ndarray) -> Sample:
        """The prompt; its target, which nobody knows, is not read."""
        number = self._user_of.get(user, self.catalogue.n_users)
        return Sample(self._template, number, int(items[-1]), history=items[-self.trained.config.max_history :])


def load_exported(folder: Path | str, device: torch.device | str | None = None) -> Recommender:
    """The model in a folder that `export_model` has written.

    Raises:
        UserError: if it has no such model.
    """
    folder = Path(folder)
    features = folder / "features"
    return Recommender(ModelFiles(folder, folder, folder / "backbone", features if features.is_dir() else None), device)
