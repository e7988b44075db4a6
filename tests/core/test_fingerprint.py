"""Equal content, equal fingerprint; and errors that name the way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vip5core.errors import UserError, unknown_name
from vip5core.fingerprint import canonical_json, code_version, fingerprint

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict) -> None:
    turned = dict(reversed(value.items()))
    assert fingerprint(value) == fingerprint(turned)


@given(VALUES, VALUES)
def test_different_values_differ(one: object, other: object) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (canonical_json(one) == canonical_json(other))
    assert fingerprint(one, other) != fingerprint([one, other])


def test_what_is_no_number_has_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fingerprint(float("nan"))


def test_the_code_has_a_version() -> None:
    assert len(code_version()) == 16


def test_an_error_is_one_line_with_the_nearest_name() -> None:
    assert str(UserError("two\n   lines ")) == "two lines"
    assert str(unknown_name("fruit", "aple", ["apple", "pear"])) == (
        "unknown fruit 'aple': did you mean 'apple'? known: apple, pear"
    )
    assert str(unknown_name("fruit", "zzz", ["apple"])) == "unknown fruit 'zzz': known: apple"
