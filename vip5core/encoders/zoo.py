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

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from vip5core.encoders.files import digests
from vip5core.encoders.preprocessing import OPENAI_MEAN, OPENAI_STD, Geometry, Preprocessing
from vip5core.encoders.source import Outline
from vip5core.errors import UserError, first_line
from vip5core.fingerprint import fingerprint, sha256_bytes
from vip5core.vocabulary import ENCODERS, PROVIDED, EncoderSpec

if TYPE_CHECKING:
    from vip5core.encoders.towers import Encoder

_TINY_CONFIGS = Path(__file__).with_name("tiny")
_TINY_SEED = 2305_14302
#: The side of the images that the tiny encoders read, in pixels.
_TINY_SIZE = 64


@dataclass(frozen=True)
class PaperEncoder:
    """An encoder of the paper.

    Attributes:
        name: its name, one of `ENCODERS`.
        weights: `openai`, `tiny`, a path (see the module's docstring), or `provided`, which uses the features that came
            with the dataset and encodes nothing.
    """

    name: str
    weights: str

    @property
    def spec(self) -> EncoderSpec:
        """What the paper says of it."""
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

    def check(self) -> None:
        """Raises: UserError for weights that are not there."""
        self.weights_file()

    def fingerprint(self) -> str:
        """The identity of what this encoder computes: of its architecture, weights and preprocessing."""
        file = self.weights_file()
        if file is not None:
            (weights,) = digests([file])
        elif self.weights == "tiny":
            pytorch = metadata.version("torch").split("+")[0]  # that of the CPU draws the same weights as that of a GPU
            weights = f"seed {_TINY_SEED} {pytorch} " + sha256_bytes(
                (_TINY_CONFIGS / f"{self.architecture}.json").read_bytes()
            )
        else:
            weights = "openai"
        return fingerprint(self.spec.architecture, weights, metadata.version("open_clip_torch"))

    def preprocessing(self) -> Preprocessing:
        """OpenAI's: the shortest side is brought to the image size, and the centre cropped."""
        size = (self.image_size, self.image_size)
        return Preprocessing(Geometry("shortest", size, size), OPENAI_MEAN, OPENAI_STD)

    def outline(self) -> Outline:
        """Its sizes, without its weights."""
        from vip5core.encoders.towers import open_clip_outline

        return open_clip_outline(self.architecture, _TINY_CONFIGS)

    def build(self) -> Encoder:
        """Build the tower and load its weights.

        Raises:
            UserError: for weights that are missing, belong to another model or cannot be downloaded.
        """
        file = self.weights_file()
        # Imported late: PyTorch and open_clip take seconds, and a study whose features are there only names encoders.
        from vip5core.encoders.towers import build_open_clip, build_tiny

        if self.weights == "tiny":
            return build_tiny(self.architecture, _TINY_CONFIGS, _TINY_SEED)
        try:
            return build_open_clip(self.architecture, str(file) if file else "openai")
        except Exception as error:
            raise UserError(
                f"weights {self.weights!r} of {self.name} cannot be loaded ({first_line(error)}): "
                "give a weights file or folder, or encoder_weights=tiny"
            ) from None
