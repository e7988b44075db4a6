"""An encoder as the user chose it, and its loading."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vip5core.encoder_names import check_form, family_of
from vip5core.encoders.open_clip_models import OpenClipFolder, OpenClipModel, OpenClipRepository
from vip5core.encoders.own_features import OwnFeatures
from vip5core.encoders.source import EncoderSource
from vip5core.encoders.timm_models import TimmModel
from vip5core.encoders.transformers_models import TransformersModel
from vip5core.encoders.zoo import PaperEncoder
from vip5core.errors import UserError, first_line
from vip5core.fingerprint import ENCODING_ROOTS, OWN_FEATURES_ROOTS, code_identity, fingerprint
from vip5core.vocabulary import PROVIDED

if TYPE_CHECKING:
    import torch

    from vip5core.encoders.towers import Encoder

#: The weights of an encoder whose name says which they are.
NAMED = "named"


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder with its weights: what a feature store is made with.

    Attributes:
        name: the name of the encoder: one of the paper's, or of another family (`vip5core.encoder_names`).
        weights: those of the paper's encoders, see `vip5core.encoders.zoo`; the others name theirs themselves, so that
            nothing else counts.
    """

    name: str
    weights: str = "tiny"

    def __post_init__(self) -> None:
        if family_of(self.name) is not None:
            object.__setattr__(self, "weights", NAMED)

    @functools.cached_property
    def source(self) -> EncoderSource | OwnFeatures:
        """Where it comes from.

        Raises:
            UserError: for a name that no encoder can have.
        """
        check_form(self.name)
        family, _, reference = self.name.partition(":")
        if family_of(self.name) is None:
            return PaperEncoder(self.name, self.weights)
        if family != "open_clip":
            return _FAMILIES[family](reference)
        for start, source in (("local-dir:", OpenClipFolder), ("hf-hub:", OpenClipRepository)):
            if reference.startswith(start):
                return source(reference.removeprefix(start))
        return OpenClipModel(reference)

    @property
    def needs_images(self) -> bool:
        """Are its features made of images here, instead of being given?"""
        return self.weights != PROVIDED and not isinstance(self.source, OwnFeatures)

    def check(self) -> None:
        """Is there such an encoder?

        Raises:
            UserError: naming what is wrong and the nearest names.
        """
        self.source.check()

    @functools.cached_property
    def fingerprint(self) -> str:
        """The identity of its features: of the encoder, and of the code that makes them from files."""
        own = isinstance(self.source, OwnFeatures)
        roots = OWN_FEATURES_ROOTS if own else (*ENCODING_ROOTS, type(self.source).__module__)
        return fingerprint(self.source.fingerprint(), code_identity(*roots))

    @property
    def model(self) -> EncoderSource:
        """The source of an encoder that makes features of images."""
        assert not isinstance(self.source, OwnFeatures), self.name
        return self.source

    def anywhere(self) -> EncoderChoice:
        """The same encoder for a process elsewhere: its path absolute, and its repository of a hub in one revision."""
        if family_of(self.name) is None:
            local = self.weights not in ("openai", "tiny", PROVIDED)
            return dataclasses.replace(self, weights=_absolute(self.weights)) if local else self
        start, path = _path_in(self.name)
        source = self.source
        revision = None
        if isinstance(source, OpenClipRepository | TimmModel | TransformersModel):
            with contextlib.suppress(UserError):  # not downloaded here: a worker will try
                revision = source.revision()
        if revision:
            return EncoderChoice(f"{self.name.partition('@')[0]}@{revision}")
        return EncoderChoice(start + _absolute(path)) if path and Path(path).expanduser().exists() else self


_FAMILIES: dict[str, Callable[[str], EncoderSource | OwnFeatures]] = {
    "timm": TimmModel,
    "hf": TransformersModel,
    "features": OwnFeatures,
}


def _path_in(name: str) -> tuple[str, str]:
    """A name in two: up to where a path may begin, and that path."""
    for start in ("open_clip:local-dir:", "timm:local-dir:", "features:", "hf:"):
        if name.startswith(start):
            return start, name.removeprefix(start)
    model, at, file = name.partition("@")
    return (model + at, file) if name.startswith("timm:") and ":" not in model[5:] else (name, "")


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def load_encoder(choice: EncoderChoice, device: torch.device | str = "cpu") -> Encoder:
    """Build the tower and load its weights.

    Raises:
        UserError: for an unknown encoder, or weights that are missing, belong to another model or cannot be downloaded,
            or a tower that gives no vector for an image.
    """
    source = choice.model
    source.check()
    encoder = source.build().eval()
    expected = source.preprocessing()
    assert encoder.preprocessing == expected, (choice, encoder.preprocessing, expected)
    if family_of(choice.name) is not None:
        _try(choice, encoder)
    return encoder.to(device)


def _try(choice: EncoderChoice, encoder: Encoder) -> None:
    """Encode a black image.

    Raises:
        UserError: if no vector comes of it.
    """
    import numpy as np

    try:
        shape = encoder.encode(np.zeros((1, 3, *encoder.preprocessing.geometry.crop), np.uint8)).shape
    except Exception as error:
        raise UserError(
            f"encoder {choice.name!r} cannot encode an image of {encoder.preprocessing.geometry.crop} pixels "
            f"({first_line(error)}): check its preprocessing"
        ) from None
    if len(shape) != 2:
        raise UserError(f"encoder {choice.name!r} gives {shape[1:]} numbers for an image instead of one vector")
