"""What every family of encoders offers: a name becomes an `EncoderSource`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vip5core.encoders.preprocessing import Preprocessing

if TYPE_CHECKING:
    from vip5core.encoders.towers import Encoder


@dataclass(frozen=True)
class Outline:
    """The sizes of an encoder: the width of a feature, the images it reads (height, width), and its parameters."""

    feature_width: int
    image_size: tuple[int, int]
    parameters: int


class EncoderSource(Protocol):
    """Where an encoder comes from.

    `check` and `fingerprint` import no PyTorch, because a finished study asks for nothing else. They and the others
    raise a `UserError` for an encoder that does not exist, cannot be read or needs a library that is not installed.
    """

    def check(self) -> None:
        """Is there such an encoder? Weights of a hub are not downloaded for that."""

    def fingerprint(self) -> str:
        """The identity of what it computes: of its architecture, weights, preprocessing and library."""

    def preprocessing(self) -> Preprocessing:
        """What it wants done to an image; its weights are not read for that."""

    def outline(self) -> Outline:
        """Its sizes, without its weights."""

    def build(self) -> Encoder:
        """Build the tower and load its weights."""
