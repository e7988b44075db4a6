"""The golden files: weights, inputs and outputs of the official VIP5 code (jeykigung/VIP5 @ 35b8a05)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import T5Config, T5ForConditionalGeneration

from vip5core.config import ModelOptions
from vip5core.model import VIP5, build_vip5
from vip5core.parity.checkpoint import load_official
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
        """Our model with the official weights."""
        c = self.config
        backbone = T5ForConditionalGeneration(
            T5Config(
                vocab_size=c["vocab_size"],
                d_model=c["d_model"],
                d_kv=c["d_kv"],
                d_ff=c["d_ff"],
                num_layers=c["num_layers"],
                num_heads=c["num_heads"],
                relative_attention_num_buckets=c["relative_attention_num_buckets"],
                layer_norm_epsilon=c["layer_norm_epsilon"],
                feed_forward_proj=c["feed_forward_proj"],
                dropout_rate=0.0,
                decoder_start_token_id=0,
                tie_word_embeddings=True,
            )
        )
        positions = ["self", "feed_forward"] + (["cross"] if c["add_adapter_cross_attn"] else [])
        options = ModelOptions(
            tuning="adapter",
            image_tokens=c["n_vis_tokens"],
            mapping_norm=c["use_vis_layer_norm"],
            reduction_factor=c["reduction_factor"],
            adapter_positions=tuple(positions) if c["use_adapter"] else (),
            adapter_sharing="shared" if c["use_single_adapter"] else "per_task",
            tasks=tuple(c["tasks"]),
        )
        model = build_vip5(backbone, options, torch.zeros(1, c["feat_dim"]))
        load_official(model, self.state(prefix))
        return model.eval()


def load_golden(name: str) -> Golden:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    # train_trajectory has no description of its own: it is the base model.
    source = arrays if "meta/json" in arrays else np.load(GOLDEN / "base.npz")
    meta = json.loads(str(source["meta/json"]))
    return Golden(arrays, meta["config"], meta["batch_tasks"])
