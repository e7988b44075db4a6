"""The visual encoders of the paper, and a tiny one of each architecture for machines without their weights.

Weights are one of
- `openai`: OpenAI's, downloaded by open_clip. Their models are its `-quickgelu` ones; with a plain name it only warns,
  and computes something else.
- a file, or a folder with one file per encoder (`RN50.pt`, `ViT-B-32.pt`, …, OpenAI's own file names).
- `tiny`: an encoder of the same family, patch size and feature width with few, narrow layers, for images of 64 px,
  with fixed random weights. Even random features of a convolution or a transformer distinguish colours and shapes, and
  wider ones more of them: the tiny encoders see better in the order in which the table names them, as the real ones do,
  so that a study of encoders on minimart has a known answer (`tests/core/encoders/test_planted_order.py`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from vip5core.errors import UserError, first_line, unknown_name
from vip5core.fingerprint import fingerprint, sha256_bytes, sha256_file
from vip5core.vocabulary import ENCODERS, PROVIDED, EncoderSpec

if TYPE_CHECKING:
    import torch

    from vip5core.encoders.towers import Encoder

_TINY_CONFIGS = Path(__file__).with_name("tiny")
_TINY_SEED = 2305_14302
#: The side of the images that the tiny encoders read, in pixels.
_TINY_SIZE = 64


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

    @property
    def image_size(self) -> int:
        """The side of the images that it reads, in pixels."""
        return _TINY_SIZE if self.weights == "tiny" else self.spec.image_size

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
            pytorch = metadata.version("torch").split("+")[0]  # that of the CPU draws the same weights as that of a GPU
            weights = f"seed {_TINY_SEED} {pytorch} " + sha256_bytes(
                (_TINY_CONFIGS / f"{self.architecture}.json").read_bytes()
            )
        else:
            weights = "openai"
        return fingerprint(spec.architecture, weights, metadata.version("open_clip_torch"))


def load_encoder(choice: EncoderChoice, device: torch.device | str = "cpu") -> Encoder:
    """Build the tower and load its weights.

    Raises:
        UserError: for an unknown encoder, or weights that are missing, belong to another model or cannot be downloaded.
    """
    spec, file = choice.spec, choice.weights_file()
    # Imported late: PyTorch and open_clip take seconds, and a study whose features are there only names encoders.
    from vip5core.encoders.towers import build_pretrained, build_tiny

    if choice.weights == "tiny":
        encoder = build_tiny(choice.architecture, _TINY_CONFIGS, _TINY_SEED)
    else:
        try:
            encoder = build_pretrained(choice.architecture, str(file) if file else "openai")
        except Exception as error:
            raise UserError(
                f"weights {choice.weights!r} of {spec.name} cannot be loaded ({first_line(error)}): "
                "give a weights file or folder, or encoder_weights=tiny"
            ) from None
    return encoder.eval().to(device)
