"""The visual encoders of the paper, and a tiny one of each architecture for machines without their weights.

Weights are one of
- `openai`: OpenAI's, downloaded by open_clip. Their models are its `-quickgelu` ones; with a plain name it only warns,
  and computes something else.
- a file, or a folder with one file per encoder (`RN50.pt`, `ViT-B-32.pt`, …, OpenAI's own file names).
- `tiny`: an encoder of the same family, patch size and feature width with few, narrow layers, for images of 64 px,
  with fixed random weights. Even random features of a convolution or a transformer distinguish colours and shapes.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from vip5core.errors import UserError, first_line, unknown_name
from vip5core.fingerprint import fingerprint, sha256_bytes, sha256_file
from vip5core.vocabulary import ENCODERS, PROVIDED, EncoderSpec

_TINY_CONFIGS = Path(__file__).with_name("tiny")
_TINY_SEED = 2305_14302


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder with its weights: what a feature store is made with.

    Attributes:
        name: the name of the encoder, one of `ENCODERS`.
        weights: `openai`, `tiny`, a path (see the module's docstring), or `provided`, which uses the features that came
            with the dataset and encodes nothing.
    """

    name: str
    weights: str = "tiny"

    @property
    def spec(self) -> EncoderSpec:
        """Raises: UserError for an unknown encoder."""
        if self.name not in ENCODERS:
            raise unknown_name("encoder", self.name, ENCODERS)
        return ENCODERS[self.name]

    @property
    def architecture(self) -> str:
        """open_clip's name of the model."""
        return f"tiny-{self.spec.architecture}" if self.weights == "tiny" else self.spec.architecture

    def weights_file(self) -> Path | None:
        """The local weights file, or None for `openai`, `tiny` and `provided`.

        Raises:
            UserError: if there is no such file.
        """
        if self.weights in ("openai", "tiny", PROVIDED):
            return None
        path = Path(self.weights).expanduser()
        path = path / self.spec.file if path.is_dir() else path
        if not path.is_file():
            raise UserError(
                f"encoder_weights={self.weights!r}: must be openai, tiny, {PROVIDED}, a weights file, "
                f"or a folder that holds {self.spec.file}"
            )
        return path

    @functools.cached_property
    def fingerprint(self) -> str:
        """The identity of what this encoder computes: of its architecture, weights and preprocessing."""
        spec, file = self.spec, self.weights_file()
        if file is not None:
            weights = sha256_file(file)
        elif self.weights == "tiny":
            weights = f"seed {_TINY_SEED} {torch.__version__.split('+')[0]} " + sha256_bytes(
                (_TINY_CONFIGS / f"{self.architecture}.json").read_bytes()
            )
        else:
            weights = "openai"
        return fingerprint(spec.architecture, weights, open_clip.__version__)


class Preparation:
    """Turns an image into the pixels that an encoder reads, by open_clip's own resizing and cropping.

    Args:
        size: the side of the result in pixels. Encoders of the same size share their pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        *self.steps, _, _ = image_transform_v2(PreprocessCfg(size=size), is_train=False).transforms

    @classmethod
    def of(cls, choice: EncoderChoice) -> Preparation:
        """The preparation for an encoder."""
        open_clip.add_model_config(_TINY_CONFIGS)
        config = open_clip.get_model_config(choice.architecture)
        return cls(config["vision_cfg"]["image_size"])

    def __call__(self, image: Image.Image) -> Tensor:
        """Shape: [3, size, size], uint8: a quarter of the memory of open_clip's floats on the way to the tower."""
        for step in self.steps:
            image = step(image)
        return pil_to_tensor(image)


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


def load_encoder(choice: EncoderChoice, device: torch.device | str = "cpu") -> Encoder:
    """Build the tower and load its weights.

    Raises:
        UserError: for an unknown encoder, or weights that are missing, belong to another model or cannot be downloaded.
    """
    spec, file = choice.spec, choice.weights_file()
    with _quiet():
        if choice.weights == "tiny":
            open_clip.add_model_config(_TINY_CONFIGS)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_TINY_SEED)
                model = open_clip.create_model(choice.architecture)
        else:
            try:
                model = open_clip.create_model(choice.architecture, pretrained=str(file) if file else "openai")
            except Exception as error:
                raise UserError(
                    f"weights {choice.weights!r} of {spec.name} cannot be loaded ({first_line(error)}): "
                    "give a weights file or folder, or encoder_weights=tiny"
                ) from None
    return Encoder(model.visual).eval().to(device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip's warning, on the root logger, of random weights, which the tiny encoders should have."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
