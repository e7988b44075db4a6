"""Small pictures of items for pages, each once per page, as a style sheet."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from vip5core.data.dataset import Dataset
from vip5core.encoders import UnreadableImage, open_image

#: The sides that are tried, the largest first.
_SIDES = (112, 80, 56, 40, 28)
_QUALITY = 72


@dataclass(frozen=True)
class Pictures:
    """The items of a dataset, as a page shows them.

    Attributes:
        titles: The title of each item; entry 0 is unused.
        pictured: Whether each item has a picture; entry 0 is unused.
        styles: A style `.pN` for each item N whose picture the page shows: a JPEG as a background.
    """

    titles: Sequence[str]
    pictured: Sequence[bool]
    styles: str


def pictures_of(dataset: Dataset, items: Iterable[int], budget: int) -> Pictures:
    """The items of `dataset`, with the pictures of some.

    Args:
        dataset: The dataset of the items.
        items: The items that the page shows.
        budget: The most characters of all pictures together, to which they are shrunk as far as the smallest side goes.
    """
    opened = _open(dataset, sorted(set(items)))
    for side in _SIDES:
        encoded = {item: _encode(picture, side) for item, picture in opened.items()}
        if sum(map(len, encoded.values())) <= budget:
            break
    styles = "\n".join(
        f".p{item}{{background-image:url(data:image/jpeg;base64,{data})}}" for item, data in encoded.items()
    )
    return Pictures(["", *dataset.items["title"]], [False, *dataset.items["image_sha256"].notna()], styles)


def _open(dataset: Dataset, items: Iterable[int]) -> dict[int, Image.Image]:
    """The pictures that can be read, no larger than any page shows them."""
    paths = dataset.items["image"].to_numpy()
    found = {}
    for item in items:
        if not isinstance(paths[item - 1], str):
            continue
        try:
            picture = open_image(dataset.folder / paths[item - 1])
        except UnreadableImage:
            continue
        picture.thumbnail((_SIDES[0], _SIDES[0]))
        found[item] = picture
    return found


def _encode(picture: Image.Image, side: int) -> str:
    small = picture.copy()
    small.thumbnail((side, side))
    out = io.BytesIO()
    small.save(out, "jpeg", quality=_QUALITY, optimize=True)
    return base64.b64encode(out.getvalue()).decode()
