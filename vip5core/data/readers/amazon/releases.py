"""The three releases of Amazon reviews: the names of their files and keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vip5core.data.readers.item_texts import PictureUrl, Record, strings


@dataclass(frozen=True)
class Release:
    """How a release names its files and keys.

    Attributes:
        reviews: the possible names of the file of reviews, with `*` for the category; the first that exists is used.
        meta: the possible names of the file of items, likewise.
        user, item, rating, time, text, summary, name: the keys of a review.
        ticks: the units of its time in a second.
        image_urls: gives the addresses of an item's pictures, best first.
    """

    reviews: tuple[str, ...]
    meta: tuple[str, ...]
    user: str
    item: str
    rating: str
    time: str
    text: str
    summary: str
    name: str
    ticks: int
    image_urls: Callable[[Record], list[PictureUrl]]


def _with_gz(*names: str) -> tuple[str, ...]:
    return tuple(name + end for name in names for end in (".gz", ""))


def image_urls_2018(lists: Sequence[Sequence[str]]) -> list[PictureUrl]:
    """The addresses in lists of the same pictures in different sizes, best sizes first.

    Addresses of one picture have the same name up to the first dot (`…/I/61FJ2Pge1lL._SS40_.jpg`). A list in which no
    name is known from better sizes is matched by place if it is as long as the first list.
    """
    urls: list[PictureUrl] = []
    picture_of: dict[str, int] = {}
    sizes = [size for size in lists if size]
    for size in sizes:
        names = [url.rpartition("/")[2].partition(".")[0] for url in size]
        by_place = len(size) == len(sizes[0]) and not any(name in picture_of for name in names)
        for place, (name, url) in enumerate(zip(names, size, strict=True)):
            picture = picture_of.setdefault(name, place if by_place else len(urls))
            urls.append((picture, url))
    return urls


def image_urls_2023(images: object) -> list[PictureUrl]:
    """The addresses in a list of records or a record of lists, a record a picture in several resolutions: the main
    picture first, each in its best resolution first."""
    if isinstance(images, dict):
        columns = {key: values for key, values in images.items() if isinstance(values, list)}
        size = max(map(len, columns.values()), default=0)
        images = [{key: values[n] for key, values in columns.items() if n < len(values)} for n in range(size)]
    if not isinstance(images, list):
        return []
    records = [image for image in images if isinstance(image, dict)]
    records.sort(key=lambda image: image.get("variant") != "MAIN")
    return [
        (picture, url)
        for picture, image in enumerate(records)
        for url in strings([image.get(key) for key in ("hi_res", "large", "thumb")])
    ]


_OLD: dict[str, Any] = {
    "user": "reviewerID",
    "item": "asin",
    "rating": "overall",
    "time": "unixReviewTime",
    "text": "reviewText",
    "summary": "summary",
    "name": "reviewerName",
    "ticks": 1,
}
RELEASES = {
    "amazon-2014": Release(
        _with_gz("reviews_*_5.json", "reviews_*.json"),
        _with_gz("meta_*.json"),
        image_urls=lambda item: [(0, url) for url in strings(item.get("imUrl"))],
        **_OLD,
    ),
    "amazon-2018": Release(
        _with_gz("*_5.json", "*.json"),
        _with_gz("meta_*.json"),
        image_urls=lambda item: image_urls_2018(
            [strings(item.get(key)) for key in ("imageURLHighRes", "image", "imageURL")]
        ),
        **_OLD,
    ),
    "amazon-2023": Release(
        _with_gz("*.jsonl"),
        _with_gz("meta_*.jsonl"),
        user="user_id",
        item="parent_asin",
        rating="rating",
        time="timestamp",
        text="text",
        summary="title",
        name="",
        ticks=1000,
        image_urls=lambda item: image_urls_2023(item.get("images")),
    ),
}
