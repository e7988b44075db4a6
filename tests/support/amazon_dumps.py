"""Tiny Amazon dumps in the three real formats."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

CATEGORY = "Toys_and_Games"
YEARS = (2014, 2018, 2023)
START = 1_400_000_000
ASPECTS = ("color", "strap", "sound", "handle")

#: Eight users with six of nine items each, so that every user is long enough to be split.
HISTORIES = {f"U{user}": [f"B{(user + step) % 9}" for step in range(6)] for user in range(8)}

Row = dict[str, Any]


def review(year: int, user: str, item: str, second: float, **more: object) -> Row:
    """A review as the dump of that year has it, with what `more` says instead."""
    place = sum(map(ord, user + item))
    text = f"Bought it for {user}. The {ASPECTS[place % 4]} is great on {item} of {user}. Will buy again!"
    if year == 2023:
        row: Row = {
            "rating": 5.0,
            "title": f"Nice {item}",
            "text": text,
            "images": [],
            "asin": f"{item}-red",
            "parent_asin": item,
            "user_id": user,
            "timestamp": round(second * 1000),
            "helpful_vote": 1,
            "verified_purchase": True,
        }
        return row | more
    row = {
        "reviewerID": user,
        "asin": item,
        "reviewerName": f"Name of {user}",
        "reviewText": text,
        "overall": 4.0,
        "summary": f"Nice {item}",
        "unixReviewTime": int(second),
        "reviewTime": "05 13, 2014",
    }
    if year == 2014:
        return {**row, "helpful": [2, 3], **more}
    return {**row, "verified": True, "vote": "1,234", "image": ["https://x/shot.jpg"], "style": {"Size:": "L"}, **more}


def item(year: int, raw_id: str, **more: object) -> Row:
    """An item as the dump of that year describes it, with what `more` says instead."""
    if year == 2014:
        row: Row = {
            "asin": raw_id,
            "description": f"What {raw_id} is.",
            "title": f"Thing {raw_id}",
            "price": 37.12,
            "salesRank": {"Toys &amp; Games": 612379},
            "imUrl": f"http://x/{raw_id}.jpg",
            "related": {"also_viewed": ["B00024QZX0"]},
            "categories": [["Toys & Games", "Puzzles"], ["Other"]],
        }
    elif year == 2018:
        row = {
            "category": ["Toys &amp; Games", "Puzzles", "</span></span>"],
            "tech1": "",
            "description": ["What", f"<b>{raw_id}</b> is."],
            "title": f"<span>Thing</span> {raw_id}",
            "also_buy": ["B00024QZX0"],
            "details": {"ASIN: ": raw_id},
            "main_cat": "Toys & Games",
            "asin": raw_id,
            "imageURL": [f"https://x/{raw_id}_SS40_.jpg"],
            "imageURLHighRes": [f"https://x/{raw_id}.jpg"],
        }
    else:
        row = {
            "main_category": "Toys & Games",
            "title": f"Thing {raw_id}",
            "average_rating": 4.8,
            "features": [],
            "description": ["What", f"{raw_id} is."],
            "price": None,
            "images": [
                {"thumb": f"https://x/{raw_id}b_t.jpg", "large": f"https://x/{raw_id}b.jpg", "variant": "PT01"},
                {
                    "thumb": f"https://x/{raw_id}_t.jpg",
                    "large": f"https://x/{raw_id}_l.jpg",
                    "variant": "MAIN",
                    "hi_res": f"https://x/{raw_id}.jpg",
                },
            ],
            "categories": ["Toys & Games", "Puzzles"],
            "parent_asin": raw_id,
        }
    return row | more


def reviews_of(year: int, histories: Mapping[str, Sequence[str]] = HISTORIES) -> list[Row]:
    """A review for each item of each user, one a second."""
    return [
        review(year, user, raw_id, second)
        for user, history in histories.items()
        for second, raw_id in enumerate(history, START)
    ]


def items_of(year: int, histories: Mapping[str, Sequence[str]] = HISTORIES) -> list[Row]:
    return [item(year, raw_id) for raw_id in sorted({raw_id for history in histories.values() for raw_id in history})]


def reviews_name(year: int, category: str = CATEGORY) -> str:
    return {2014: "reviews_{}_5.json", 2018: "{}_5.json", 2023: "{}.jsonl"}[year].format(category)


def meta_name(year: int, category: str = CATEGORY) -> str:
    return f"meta_{category}.json{'l' if year == 2023 else ''}"


def write_lines(path: Path, lines: Iterable[str], packed: bool = False) -> Path:
    """Lines as a file, or as a gzip of it with `.gz` behind its name."""
    data = "".join(f"{line}\n" for line in lines).encode()
    if packed:
        path = path.with_name(f"{path.name}.gz")
        data = gzip.compress(data, mtime=0)
    path.write_bytes(data)
    return path


def write_dump(
    folder: Path,
    year: int,
    reviews: Sequence[Row] | None = None,
    items: Sequence[Row] | None = None,
    category: str = CATEGORY,
    packed: bool = False,
) -> Path:
    """A category's two files; without `reviews` and `items`, those of `HISTORIES`."""
    folder.mkdir(parents=True, exist_ok=True)
    reviews = reviews_of(year) if reviews is None else reviews
    items = items_of(year) if items is None else items
    write_lines(folder / reviews_name(year, category), map(json.dumps, reviews), packed)
    # The items of 2014 were printed by Python.
    write_lines(folder / meta_name(year, category), map(repr if year == 2014 else json.dumps, items), packed)
    return folder
