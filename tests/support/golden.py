"""The golden files: weights, inputs and outputs of the official VIP5 code (jeykigung/VIP5 @ 35b8a05)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vip5core.model import VIP5, build_vip5, fitting_options
from vip5core.official.convert import convert
from vip5core.prompts import IGNORED, Batch

GOLDEN = Path(__file__).parent / "golden_files"


@dataclass
class Golden:
    """One golden file: `arrays` by name, and the configuration of its tiny model."""

    arrays: dict[str, np.ndarray]
    config: dict
    batch_tasks: list[str]

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def state(self, prefix: str = "param/") -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): self.tensor(k) for k in self.arrays if k.startswith(prefix)}

    def batch(self, prefix: str = "in/") -> Batch:
        """The official batch in our form: a flat list of images, with the positions of their tokens."""
        category_ids = self.tensor(prefix + "category_ids")
        n = self.config["n_vis_tokens"]
        positions = category_ids.flatten().nonzero().flatten().view(-1, n)
        users, length = category_ids.shape
        slots = self.tensor(prefix + "vis_feats").shape[1]
        items, seen = [], [0] * users
        for user in (positions[:, 0] // length).tolist():
            items.append(user * slots + seen[user])
            seen[user] += 1
        return Batch(
            input_ids=self.tensor(prefix + "input_ids"),
            whole_word_ids=self.tensor(prefix + "whole_word_ids"),
            category_ids=category_ids,
            attention_mask=(self.tensor(prefix + "input_ids") != 0).long(),
            image_items=torch.tensor(items, dtype=torch.long),
            image_positions=positions,
            labels=self.tensor(prefix + "target_ids"),
            target_positions=(self.tensor(prefix + "target_ids") != IGNORED).flatten().nonzero().flatten(),
            rows=np.arange(users),
            task=self.batch_tasks[0],  # the official code uses the adapters of the first row's task for all rows
        )

    def features(self, prefix: str = "in/") -> torch.Tensor:
        """The features of a batch, as the table that its `image_items` index."""
        return self.tensor(prefix + "vis_feats").flatten(0, 1)

    def model(self, prefix: str = "param/") -> VIP5:
        """Our model with the official weights, its sizes read off their shapes."""
        official = convert(self.state(prefix), "golden")
        official.config.dropout_rate = 0.0
        options = fitting_options(official.adapters, official.config.d_model)
        return build_vip5(
            official.build_t5(),
            options.model_copy(update={"adapter_start": "backbone"}),
            torch.zeros(1, self.config["feat_dim"]),
            official.extra_embeddings,
            official.adapters,
        ).eval()


def load_golden(name: str) -> Golden:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    # train_trajectory has no description of its own: it is the base model.
    source = arrays if "meta/json" in arrays else np.load(GOLDEN / "base.npz")
    meta = json.loads(str(source["meta/json"]))
    return Golden(arrays, meta["config"], meta["batch_tasks"])
