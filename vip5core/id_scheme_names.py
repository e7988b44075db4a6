"""The names of item id schemes, of which some name an encoder: `random`, `semantic:image@RN50`.

- `semantic:text`: words weighted by TF-IDF, without a model.
- `semantic:text@hf:NAME`: a text model of the hub, or in a folder.
- `semantic:image@ENCODER`: any encoder that the setting `encoder` takes.
- `semantic:image@ENCODER=WEIGHTS`: one of the paper's encoders with other `encoder_weights`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from vip5core.encoder_names import check_form, family_of
from vip5core.errors import UserError, unknown_name
from vip5core.vocabulary import (
    DEFAULT_ENCODER,
    DEFAULT_ENCODER_WEIGHTS,
    ID_SCHEMES,
    SEMANTIC_ID_SCHEMES,
    IdScheme,
)


@dataclass(frozen=True)
class IdSchemeName:
    """The name of a scheme in its parts.

    Attributes:
        base: the scheme.
        encoder: what reads the content of items; empty for schemes without content, and for TF-IDF.
        weights: the weights of the encoder; empty if its name says which.
    """

    base: IdScheme
    encoder: str = ""
    weights: str = ""

    def __str__(self) -> str:
        weights = f"={self.weights}" if self.weights else ""
        return f"{self.base}@{self.encoder}{weights}" if self.encoder else self.base


def parse_id_scheme(
    name: str, image_encoder: str = DEFAULT_ENCODER, image_weights: str = DEFAULT_ENCODER_WEIGHTS
) -> IdSchemeName:
    """The parts of a scheme's name.

    Args:
        name: the name as the user gave it.
        image_encoder: the encoder that `semantic:image` alone stands for.
        image_weights: the weights of the paper's encoders, if the name says nothing about them.

    >>> str(parse_id_scheme("collaborative")), str(parse_id_scheme("semantic:image@timm:resnet18.a1_in1k"))
    ('collaborative', 'semantic:image@timm:resnet18.a1_in1k')
    >>> parse_id_scheme("semantic:image@RN50=tiny").weights
    'tiny'

    Raises:
        UserError: for an unknown scheme, or an encoder that a scheme cannot have.
    """
    base, at, encoder = name.partition("@")
    if base not in ID_SCHEMES:
        raise unknown_name("id scheme", name, ID_SCHEMES)
    scheme = cast(IdScheme, base)
    if at and scheme not in SEMANTIC_ID_SCHEMES:
        raise UserError(
            f"id scheme {name!r}: {scheme} reads no content, so no encoder; leave out {at + encoder!r}, or choose "
            f"{' or '.join(SEMANTIC_ID_SCHEMES)}"
        )
    if at and not encoder:
        raise UserError(f"id scheme {name!r}: an encoder must follow the @, or leave it out")
    if scheme == "semantic:image":
        return _image_scheme(name, encoder or image_encoder, image_weights)
    if encoder and not (encoder.startswith("hf:") and encoder.removeprefix("hf:").strip()):
        raise UserError(f"id scheme {name!r}: texts are read by a model of transformers; name it as {scheme}@hf:NAME")
    return IdSchemeName(scheme, encoder)


def _image_scheme(name: str, encoder: str, weights: str) -> IdSchemeName:
    if family_of(encoder) is not None:
        weights = ""
    elif "=" in encoder:
        encoder, _, weights = encoder.partition("=")
    try:
        check_form(encoder)
    except UserError as error:
        raise UserError(f"id scheme {name!r}: {error}") from None
    return IdSchemeName("semantic:image", encoder, weights)
