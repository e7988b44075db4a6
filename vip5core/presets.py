"""Named sets of settings, as data: what they change of the defaults of `TrialConfig`.

- `tiny`: for the built-in backbones, which have to learn something within minutes on two CPU cores: small encoders, a
  higher learning rate for narrow adapters, fewer and shorter prompts. They know no words but those of their prompts, so
  explanations are asked for with the aspect and the title in the prompt (C-10): those words they can know. Direct
  prompts name the user by number (B-7), which is the user's own piece; names share theirs. Tables of embeddings, where
  they are trained, know their items from the P5 stage, and would unlearn them at the rate of new adapters.
- `p5`: for the P5 stage, which makes a built-in backbone: everything is trained, on text alone, mostly on the next
  item, which is the hardest to learn.
- `paper`: the choices of arXiv 2305.14302 and its code, those that our defaults share included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vip5core.errors import unknown_name
from vip5core.vocabulary import TINY as TINY_BACKBONE

TINY: dict[str, Any] = {
    "encoder_weights": "tiny",
    "epochs": 1,
    "batch_size": 72,
    "learning_rate": 1e-2,
    "embedding_rate": 0.03,
    "dropout": 0.0,
    "samples_per_user": (1, 0, 0, 1),
    "samples_per_explanation": 3,
    "image_start": "placeholder",
    "direct_targets": "newer",
    "max_history": 20,
    "train_candidates": 10,
    "direct_template": "B-7",
    "explanation_template": "C-10",
}

P5: dict[str, Any] = {
    "backbone": TINY_BACKBONE,
    "tuning": "full",
    "image_tokens": 0,
    "epochs": 3,
    "batch_size": 128,
    "learning_rate": 3e-3,
    "dropout": 0.0,
    "samples_per_user": (15, 1, 1, 15),
    "samples_per_explanation": 3,
    "direct_targets": "newer",
    "max_history": 20,
    "train_candidates": 20,
    "direct_template": "B-7",
    "explanation_template": "C-10",
}

#: What the P5 stage of a pretrained T5 changes of these: it knows its words, so that its embeddings need no start; it
#: is larger and can overfit, and its prompts are worth more epochs.
P5_PRETRAINED: dict[str, Any] = {
    "item_start": "random",
    "learning_rate": 1e-3,
    "epochs": 10,
    "dropout": 0.1,
}

PAPER: dict[str, Any] = {
    "backbone": "t5-small",
    "encoder_weights": "openai",
    "encoder": "ViT-B/32",
    "image_tokens": 2,
    "image_start": "random",
    "tuning": "adapter",
    "reduction_factor": 8,
    "adapter_positions": ("self", "cross", "feed_forward"),
    "adapter_sharing": "shared",
    "epochs": 20,
    "batch_size": 36,
    "learning_rate": 1e-3,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "decay_norms": True,
    "clip": 5.0,
    "dropout": 0.1,
    "samples_per_user": (5, 5, 5, 5),
    "train_candidates": 100,
    "loss": "paper",
    "feature_scaling": "raw",
    "adapter_start": "paper",
    "history_window": "paper",
    "adam_epsilon": 1e-6,
    "protocol": "paper",
    "num_beams": 20,
    "exclude_history": False,
    "sequential_template": "A-3",
    "direct_template": "B-8",
    "explanation_template": "C-12",
    "max_source_tokens": 1024,
    "max_target_tokens": 64,
    "select_by": "valid/loss",
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
