"""A scheme's name says what makes the ids; what it cannot say is answered in one line."""

from __future__ import annotations

import pytest

from vip5core.errors import UserError
from vip5core.id_scheme_names import IdSchemeName, parse_id_scheme
from vip5core.vocabulary import ID_SCHEMES, SEMANTIC_ID_SCHEMES


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("random", IdSchemeName("random")),
        ("collaborative+independent", IdSchemeName("collaborative+independent")),
        ("semantic:text", IdSchemeName("semantic:text")),
        ("semantic:text@hf:org/sentences", IdSchemeName("semantic:text", "hf:org/sentences")),
        ("semantic:image", IdSchemeName("semantic:image", "ViT-B/32", "openai")),
        ("semantic:image@RN50", IdSchemeName("semantic:image", "RN50", "openai")),
        ("semantic:image@RN50=tiny", IdSchemeName("semantic:image", "RN50", "tiny")),
        ("semantic:image@RN50=/w/RN50.pt", IdSchemeName("semantic:image", "RN50", "/w/RN50.pt")),
        ("semantic:image@timm:resnet18@/w=1", IdSchemeName("semantic:image", "timm:resnet18@/w=1")),
        ("semantic:image@features:/f/x.npy", IdSchemeName("semantic:image", "features:/f/x.npy")),
    ],
)
def test_a_name_has_parts_and_these_make_the_name(name: str, parts: IdSchemeName) -> None:
    assert parse_id_scheme(name) == parts
    assert parse_id_scheme(str(parts)) == parts


def test_an_encoder_that_is_not_named_is_that_of_the_study() -> None:
    assert str(parse_id_scheme("semantic:image", "RN101", "tiny")) == "semantic:image@RN101=tiny"
    assert str(parse_id_scheme("semantic:image@RN50", "RN101", "tiny")) == "semantic:image@RN50=tiny"
    assert str(parse_id_scheme("semantic:image", "hf:org/vit", "tiny")) == "semantic:image@hf:org/vit"
    assert str(parse_id_scheme("semantic:text", "RN101", "tiny")) == "semantic:text"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("semantic:foo", "unknown id scheme 'semantic:foo': did you mean 'semantic:"),
        ("sequental", "unknown id scheme 'sequental': did you mean 'sequential'"),
        ("independant", "did you mean 'independent'"),
        ("", "unknown id scheme ''"),
        ("random@RN50", "'random@RN50': random reads no content, so no encoder; leave out '@RN50'"),
        ("semantic:text@", "an encoder must follow the @"),
        ("semantic:text@RN50", "name it as semantic:text@hf:NAME"),
        ("semantic:text@hf:", "name it as semantic:text@hf:NAME"),
        ("semantic:image@RN5O", "'semantic:image@RN5O': unknown encoder 'RN5O': did you mean 'RN50'"),
        ("semantic:image@timm:", "something must follow the colon"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match="id scheme") as error:
        parse_id_scheme(name)
    assert message in str(error.value)


def test_semantic_schemes_are_among_the_schemes() -> None:
    assert set(SEMANTIC_ID_SCHEMES) <= set(ID_SCHEMES)
    assert all(str(parse_id_scheme(name)).startswith(name) for name in ID_SCHEMES)
