"""The image towers of open_clip. Only `load_encoder` imports this module, because that takes seconds."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def _without(*packages: str) -> Iterator[None]:
    """Import what follows as if optional packages were not installed, unless they have been imported already."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: Python's sign for "cannot be imported"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


# open_clip has other models' towers by these two, and importing them takes 2 s. An encoder that needs one, such as a
# SigLIP from timm, must not hide it.
with _without("transformers", "timm"):
    import open_clip
    from open_clip.transform import PreprocessCfg


class Encoder(nn.Module):
    """A CLIP image tower that scales and normalises the pixels of its `Preparation` itself, on its device.

    Together they are open_clip's own transform and tower.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        config = PreprocessCfg(**cast(dict[str, Any], tower.preprocess_cfg))
        expected = PreprocessCfg(size=config.size)
        assert (config.resize_mode, config.interpolation) == (expected.resize_mode, expected.interpolation), config
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1))

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        """Shape: pixels [N, 3, size, size], uint8, to features [N, feature width], float32."""
        scaled = (pixels.float() / 255.0 - self.mean) / self.std
        return self.tower(scaled.to(next(self.tower.parameters()).dtype)).float()

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """The same of arrays in memory: pixels [N, 3, size, size], uint8, to features [N, feature width], float32."""
        return self(torch.from_numpy(pixels).to(self.mean.device)).cpu().numpy()


def build_tiny(architecture: str, configs: Path, seed: int) -> Encoder:
    """An encoder with random weights that are the same every time.

    Args:
        architecture: The name of a file in `configs`, without its suffix.
        configs: A folder of open_clip's configurations of models.
        seed: The seed of the weights.
    """
    open_clip.add_model_config(configs)
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(open_clip.create_model(architecture).visual)


def build_pretrained(architecture: str, weights: str) -> Encoder:
    """An encoder with the weights that open_clip has under a name, or of a file."""
    with _quiet():
        return Encoder(open_clip.create_model(architecture, pretrained=weights).visual)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip's warning, on the root logger, of random weights, which the tiny encoders should have."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
