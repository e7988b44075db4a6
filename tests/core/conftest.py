"""Fixtures that tests of several rooms of the core share; what takes seconds to import is imported by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vip5core.data.dataset import Dataset


@pytest.fixture(scope="module", params=["own", "t5"])
def tokenizer(request: pytest.FixtureRequest, shop: Dataset) -> Any:
    """The tokenizer that is built from the smallest shop, and that of T5 where its vocabulary is at hand."""
    from support.shop import shop_tokenizer

    from vip5core.prompts import load_tokenizer

    if request.param == "own":
        return shop_tokenizer(shop)
    return load_tokenizer(request.getfixturevalue("real_data") / "t5-small-vocabulary")
