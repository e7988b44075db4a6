"""The towers as PyTorch modules. Only what builds an encoder imports this module, because that takes seconds."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import vip5core.encoders.libraries as libraries
from vip5core.encoders.preprocessing import Preprocessing
from vip5core.encoders.source import Outline

# open_clip has other models' towers by these two, and importing them takes 2 s; `complete_open_clip` gives them back.
with libraries.without("transformers", "timm"):
    import open_clip


class Encoder(nn.Module):
    """An image tower that scales and normalises the pixels of its `Preparation` itself, on its device.

    Together they are the own transform and tower of the library that the tower is from.

    Args:
        tower: Takes images [N, 3, height, width], normalised, and gives features [N, feature width].
        preprocessing: What the tower wants done to an image.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, tower: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.tower, self.preprocessing = tower, preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1))

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        """Shape: pixels [N, 3, height, width], uint8, to features [N, feature width], float32."""
        scaled = (pixels.float() / 255.0 - self.mean) / self.std
        return _pooled(self.tower(scaled.to(next(self.tower.parameters()).dtype))).float()

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """The same of arrays: pixels [N, 3, height, width], uint8, to features [N, feature width], float32."""
        return self(torch.from_numpy(pixels).to(self.mean.device)).cpu().numpy()


def _pooled(found: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """The features of whole images; towers of CoCa give those of places, too."""
    return found[0] if isinstance(found, tuple) else found


def build_tiny(architecture: str, configs: Path, seed: int) -> Encoder:
    """An encoder with random weights that are the same every time.

    Args:
        architecture: The name of a file in `configs`, without its suffix.
        configs: A folder of open_clip's configurations of models.
        seed: The seed of the weights.
    """
    open_clip.add_model_config(configs)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _encoder_of(open_clip.create_model(architecture))


def build_open_clip(architecture: str, weights: str | None = None, quick_gelu: bool = False) -> Encoder:
    """An encoder with the weights that open_clip has under a name, or of a file.

    Args:
        architecture: open_clip's name of a model, or `local-dir:` and a folder.
        weights: The tag of its weights, or a file; None for those of a folder.
        quick_gelu: Whether the weights belong to the activation of OpenAI's models.
    """
    config = open_clip.get_model_config(architecture) or {}
    if "timm_model_name" in config.get("vision_cfg", {}) or "hf_model_name" in config.get("text_cfg", {}):
        libraries.folder("timm")
        libraries.complete_open_clip()
    with quiet():
        return _encoder_of(open_clip.create_model(architecture, pretrained=weights, force_quick_gelu=quick_gelu))


def _encoder_of(model: Any) -> Encoder:
    return Encoder(model.visual, Preprocessing.of_open_clip(model.visual.preprocess_cfg))


def open_clip_outline(model: str | Mapping[str, Any], configs: Path | None = None) -> Outline:
    """The sizes of an image tower of open_clip.

    Args:
        model: Its configuration, or the name of one.
        configs: A folder of further configurations.
    """
    from open_clip.model import _build_vision_tower

    if configs is not None:
        open_clip.add_model_config(configs)
    config = open_clip.get_model_config(model) if isinstance(model, str) else model
    if "timm_model_name" in config["vision_cfg"]:
        libraries.complete_open_clip()
    with torch.device("meta"):
        tower = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))
    size = config["vision_cfg"].get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    return outline(tower, (height, width))


def outline(tower: nn.Module, image_size: tuple[int, int]) -> Outline:
    """The sizes of a tower without weights, on PyTorch's device `meta`, where nothing is computed but shapes."""
    with torch.inference_mode():
        features = _pooled(tower.eval()(torch.empty(1, 3, *image_size, device="meta")))
    return Outline(int(features.shape[1]), image_size, sum(part.numel() for part in tower.parameters()))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings of libraries that load a model, such as open_clip's of the random weights of twins."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
