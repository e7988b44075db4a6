"""Trials small enough for tests."""

from __future__ import annotations

from typing import Any

from vip5core.config import TrialConfig

#: A text-only trial that takes about a second.
SMALL: dict[str, Any] = {
    "backbone": "tiny",
    "image_tokens": 0,
    "epochs": 2,
    "batch_size": 64,
    "dropout": 0.0,
    "samples_per_user": (1, 1, 1, 1),
    "train_candidates": 5,
    "validation_users": 10,
    "test_users": 10,
    "num_beams": 10,
    "max_target_tokens": 8,
}


def small(**changes: Any) -> TrialConfig:
    """`SMALL` with changes."""
    return TrialConfig(**{**SMALL, **changes})
