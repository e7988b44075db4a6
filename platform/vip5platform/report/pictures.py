"""Small pictures of items for pages, each once per page, as a style sheet."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from vip5core.data.dataset import Dataset
from vip5core.encoders import UnreadableImage, open_image
from vip5core.wording import item_ids

#: The sides that are tried, the largest first.
_SIDES = (112, 80, 56, 40, 28, 20)
_QUALITY = 72


@dataclass(frozen=True)
class Pictures:
    """The items of a dataset, as a page shows them.

    Attributes:
        titles: The title of each item; entry 0 is unused.
        ids: What stands for each item in prompts and targets; entry 0 is unused.
        pictured: Whether each item has a picture; entry 0 is unused.
        styles: A style `.pN` for each item N whose picture the page shows: a WebP file as a background.
        left_out: The number of pictures for which there was no room, so that their boxes are empty.
    """

    titles: Sequence[str]
    ids: Sequence[str]
    pictured: Sequence[bool]
    styles: str
    left_out: int = 0


def pictures_of(dataset: Dataset, items: Iterable[int], budget: int) -> Pictures:
    """The items of `dataset`, with the pictures of some.

    Args:
        dataset: The dataset of the items.
        items: The items that the page shows, as often as it shows them.
        budget: The most characters of all styles together. Pictures are shrunk to it; if the smallest side is too large
            still, those that are shown least are left out.
    """
    times = Counter(items)
    opened = _open(dataset, sorted(times, key=lambda item: (-times[item], item)))
    styles: list[str] = []
    for side in _SIDES:
        styles = [_style(item, picture, side) for item, picture in opened.items()]
        if sum(map(len, styles)) <= budget:
            break
    while sum(map(len, styles)) > budget:
        styles = styles[: len(styles) * 9 // 10]
    titles, pictured = ["", *dataset.items["title"]], [False, *dataset.items["image_sha256"].notna()]
    ids = ["", *item_ids(dataset)]
    return Pictures(titles, ids, pictured, "".join(styles), len(opened) - len(styles))


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


def _style(item: int, picture: Image.Image, side: int) -> str:
    small = picture.copy()
    small.thumbnail((side, side))
    out = io.BytesIO()
    small.save(out, "webp", quality=_QUALITY)
    data = base64.b64encode(out.getvalue()).decode()
    return f".p{item}{{background-image:url(data:image/webp;base64,{data})}}\n"
