"""Named sets of settings: what differs from the defaults of `TrialConfig`, as data.

- `tiny`: for the built-in backbones, which have to show something in minutes on two CPU cores: small encoders, a
  higher rate for narrow adapters, fewer and shorter prompts. They know no words but those of their prompts, so they are
  asked for explanations with the aspect and the title in sight (C-10), of which every word can be known.
- `p5`: the P5 stage that makes a built-in backbone: everything is trained, on text alone, mostly on the next item,
  which is the hardest to learn.
- `paper`: the choices of arXiv 2305.14302 and its code, where our defaults differ and where they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vip5core.errors import unknown_name
from vip5core.vocabulary import TINY as TINY_BACKBONE

TINY: dict[str, Any] = {
    "encoder_weights": "tiny",
    "epochs": 5,
    "batch_size": 72,
    "learning_rate": 2e-2,
    "dropout": 0.0,
    "samples_per_user": (2, 1, 1, 2),
    "train_candidates": 20,
    "explanation_template": "C-10",
}

P5: dict[str, Any] = {
    "backbone": TINY_BACKBONE,
    "tuning": "full",
    "image_tokens": 0,
    "epochs": 4,
    "batch_size": 72,
    "learning_rate": 1e-3,
    "embedding_rate": 10.0,
    "dropout": 0.0,
    "samples_per_user": (20, 2, 2, 5),
    "explanation_template": "C-10",
    "train_candidates": 20,
}

PAPER: dict[str, Any] = {
    "backbone": "t5-small",
    "encoder_weights": "openai",
    "encoder": "ViT-B/32",
    "image_tokens": 2,
    "tuning": "adapter",
    "reduction_factor": 8,
    "epochs": 20,
    "batch_size": 36,
    "learning_rate": 1e-3,
    "dropout": 0.1,
    "samples_per_user": (5, 5, 5, 5),
    "train_candidates": 100,
    "loss": "paper",
    "feature_scaling": "raw",
    "adapter_start": "paper",
    "history_window": "paper",
    "adam_epsilon": 1e-6,
    "protocol": "paper",
    "exclude_history": False,
    "sequential_template": "A-3",
    "direct_template": "B-8",
    "explanation_template": "C-12",
    "max_source_tokens": 1024,
}

PRESETS: dict[str, dict[str, Any]] = {"tiny": TINY, "p5": P5, "paper": PAPER}


def preset(name: str) -> Mapping[str, Any]:
    """The settings of a preset.

    Raises:
        UserError: for an unknown name.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]
