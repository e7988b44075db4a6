"""Pictures of pages: each once, and no larger together than there is room."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image
from vip5platform.report.pictures import Pictures, pictures_of

from vip5core.data.dataset import Dataset


def made(pictures: Pictures) -> dict[int, Image.Image]:
    """The pictures in a style sheet, by item."""
    found = re.findall(r"\.p(\d+)\{background-image:url\(data:image/webp;base64,([^)]+)\)\}\n", pictures.styles)
    assert len(dict(found)) == len(found) == pictures.styles.count("{")
    return {int(item): Image.open(io.BytesIO(base64.b64decode(data))) for item, data in found}


def items_of(shop: Dataset) -> list[int]:
    """The items with a picture."""
    return [item for item, pictured in enumerate(pictures_of(shop, (), 0).pictured) if pictured]


def test_each_picture_is_there_once_and_looks_like_its_file(shop: Dataset) -> None:
    items = items_of(shop)
    pictures = pictures_of(shop, items * 3, 10**7)
    found = made(pictures)
    assert (sorted(found), pictures.left_out) == (items, 0)
    for item, picture in found.items():
        original = Image.open(shop.folder / shop.items["image"].iloc[item - 1]).convert("RGB")
        shown = picture.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        expected = original.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert shown == pytest.approx(expected, abs=6)


@pytest.mark.slow
def test_pictures_are_shrunk_and_then_left_out_where_they_are_shown_least(shop: Dataset) -> None:
    items = items_of(shop)
    whole = pictures_of(shop, items, 10**7)
    half = pictures_of(shop, items, len(whole.styles) // 2)
    assert len(half.styles) <= len(whole.styles) // 2
    assert sorted(made(half)) == items
    assert max(picture.width for picture in made(half).values()) < max(p.width for p in made(whole).values())
    few = pictures_of(shop, [*items, *items[-5:]], len(whole.styles) // 8)
    assert 0 < len(few.styles) <= len(whole.styles) // 8
    assert len(made(few)) + few.left_out == len(items)
    assert few.left_out > 0
    assert set(items[-5:]) <= made(few).keys()
    assert pictures_of(shop, items, 0).styles == ""
