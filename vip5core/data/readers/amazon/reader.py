"""The Amazon review dumps of 2014, 2018 and 2023, any category.

A category is a file of reviews and a file of items (`meta`), each with one record per line. Reviews are read once for
the interactions, which the builder filters, and twice more for the texts of those that are kept: to find the category's
aspects (`vip5core.data.readers.amazon.aspects`), and then the explanations. Review texts are not kept in memory.

Sources: McAuley et al., "Image-based Recommendations on Styles and Substitutes", 2015 (the release of 2014); Ni, Li and
McAuley, "Justifying Recommendations using Distantly-Labeled Reviews and Fine-Grained Aspects", 2019 (2018); Hou et al.,
"Bridging Language and Items for Retrieval and Recommendation", 2024 (2023).
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from vip5core.data.raw import (
    EXPLANATION_COLUMNS,
    Details,
    DropLedger,
    RawData,
    ReadRequest,
    describe_items_and_users,
)
from vip5core.data.readers.amazon.aspects import AspectCounter, explanation_of
from vip5core.data.readers.amazon.releases import RELEASES, Release
from vip5core.data.readers.item_texts import MAX_TITLE, Record, read_items, read_record, strip_markup, text_of
from vip5core.data.readers.text_files.lines import BadLine, read_lines
from vip5core.errors import UserError

#: The four categories of the paper, by its names for them.
CATEGORIES = {
    "toys": "Toys_and_Games",
    "beauty": "Beauty",
    "sports": "Sports_and_Outdoors",
    "clothing": "Clothing_Shoes_and_Jewelry",
}

#: Aspects are found in at most this many reviews, evenly spread over the file: more reviews add hardly any.
_SAMPLE = 50_000


def read_amazon(request: ReadRequest) -> RawData:
    """Read one category of the release that the request names.

    Args:
        request: its part is the category, as in the files' names or one of `CATEGORIES`, and may be empty if the folder
            holds one category only; its folder holds the files, `.gz` or not. Without a file of items, items have
            neither title nor image.

    Raises:
        UserError: if the reviews are missing, truncated, or mostly unreadable.
    """
    release, folder = RELEASES[request.name], request.folder
    category, reviews = _find_reviews(request, release)
    meta = next((folder / name for name in _names(release.meta, category) if (folder / name).is_file()), None)
    ledger = DropLedger()
    interactions = _read_interactions(release, reviews, ledger)
    if meta is None:
        ledger.add("item", f"no {release.meta[0].replace('*', category)}: items have no title and no image")
    return RawData(
        source={"name": request.name, "category": category},
        interactions=interactions,
        details=lambda kept: _read_details(release, reviews, meta, kept, ledger),
        ledger=ledger,
    )


def _names(patterns: tuple[str, ...], category: str) -> list[str]:
    return [pattern.replace("*", category) for pattern in patterns]


def _find_reviews(request: ReadRequest, release: Release) -> tuple[str, Path]:
    category, folder = request.part, request.folder
    there: dict[str, Path] = {}
    for pattern in release.reviews:
        before, after = pattern.split("*")
        for path in sorted(folder.glob(pattern)):
            name = path.name[len(before) : len(path.name) - len(after)]
            if not path.name.startswith("meta_") and name.isprintable():
                # `X_5.json` is the 5-core of X, and comes first among the patterns
                there.setdefault(name.removesuffix("_5"), path)
    if not category and len(there) == 1:
        return next(iter(there.items()))
    wanted = CATEGORIES.get(category.lower(), category)
    if wanted in there:
        return wanted, there[wanted]
    found = f"which has {', '.join(sorted(there))}" if there else "which has no reviews"
    raise UserError(
        f"{request.name}:{category}: no {release.reviews[0].replace('*', wanted or '<category>')} in "
        f"{str(folder)!r}, {found}: give the category as {request.name}:CATEGORY"
    )


def _read_interactions(release: Release, path: Path, ledger: DropLedger) -> pd.DataFrame:
    """The interactions in the order of the file; where times have milliseconds, in the order of these."""
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    rows, user_codes, item_codes, times, ratings = array("q"), array("i"), array("i"), array("q"), array("f")
    unverified = 0
    for row, review in _read_reviews(release, path, ledger):
        rows.append(row)
        user_codes.append(users.setdefault(review[release.user], len(users)))
        item_codes.append(items.setdefault(review[release.item], len(items)))
        times.append(int(review[release.time]))
        ratings.append(float(review[release.rating]))
        unverified += review.get("verified", review.get("verified_purchase", True)) is False
    if unverified:
        ledger.add("review", "not a verified purchase: kept", count=unverified)
    table = pd.DataFrame(
        {
            "user": pd.Series(np.array(list(users), dtype=object)[np.array(user_codes)], dtype="str"),
            "item": pd.Series(np.array(list(items), dtype=object)[np.array(item_codes)], dtype="str"),
            "timestamp": np.array(times),
            "rating": np.array(ratings),
            "row": np.array(rows),
        }
    )
    if release.ticks > 1:
        table = table.sort_values("timestamp", kind="stable", ignore_index=True)
        table["timestamp"], table["fraction"] = divmod(table["timestamp"], release.ticks)
    return table


def _read_reviews(
    release: Release, path: Path, ledger: DropLedger | None, wanted: np.ndarray | None = None
) -> Iterator[tuple[int, Record]]:
    """Yield the row number and the record of each review.

    All lines but blank ones are rows, so that a second reading gives the same numbers.

    Args:
        release: the names of its keys.
        path: the file of reviews.
        ledger: takes the reviews that cannot be read; None on a second reading.
        wanted: which rows to read; others are not parsed. Shape: [rows], bool.
    """
    row_of_line = itertools.count()

    def parse(line: str) -> tuple[int, Record] | None:
        row = next(row_of_line)
        if wanted is not None and not (row < len(wanted) and wanted[row]):
            return None
        return row, _parse_review(release, line)

    yield from read_lines(path, parse, ledger, "review")


def _parse_review(release: Release, line: str) -> Record:
    """Parse a review and check the keys of an interaction. Raises: BadLine."""
    review = read_record(line)
    for key in (release.user, release.item):
        if not (isinstance(review.get(key), str) and review[key].strip() and review[key].isprintable()):
            raise BadLine(f"no {key}")
    time, rating = review.get(release.time), review.get(release.rating)
    # Years 1973 to 2128: other numbers are in another unit, or not times.
    if not 1e8 <= _number(time) / release.ticks < 5e9:
        raise BadLine(f"{release.time} is not a unix time in {'seconds' if release.ticks == 1 else 'milliseconds'}")
    if not 1 <= _number(rating) <= 5:
        raise BadLine(f"{release.rating} is not a rating from 1 to 5")
    return review


def _number(value: object) -> float:
    """The number itself; NaN for anything else, which fails every comparison."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e18:
        return math.nan
    return float(value)


def _read_details(
    release: Release, reviews: Path, meta: Path | None, kept: pd.DataFrame, ledger: DropLedger
) -> Details:
    names, explanations = _read_texts(release, reviews, kept)
    items = read_items(meta, release.item, set(kept["item"]), release.image_urls, ledger) if meta else {}
    missing = kept["item"].nunique() - len(items)
    if meta is not None and missing:
        ledger.add("item", f"not in {meta.name}: it has no title and no image", count=missing)
    return Details(*describe_items_and_users(kept, items, names), explanations)


def _read_texts(release: Release, path: Path, kept: pd.DataFrame) -> tuple[dict[str, str], pd.DataFrame]:
    """Read user names, and the explanations of kept reviews. Reads the file twice."""
    rows = np.sort(kept["row"].to_numpy())
    counter = AspectCounter()
    for _, review in _read_reviews(release, path, None, _mask(rows[:: -(-len(rows) // _SAMPLE)])):
        counter.add(text_of(review.get(release.text)))
    aspects = counter.aspects()
    names: dict[str, str] = {}
    explanations = []
    for _, review in _read_reviews(release, path, None, _mask(rows)):
        if name := text_of(review.get(release.name)).strip():
            names.setdefault(review[release.user], name)
        found = explanation_of(text_of(review.get(release.text)), aspects)
        if found is not None:
            aspect, sentence = found
            user, item, rating = review[release.user], review[release.item], float(review[release.rating])
            summary = strip_markup(review.get(release.summary), MAX_TITLE)
            explanations.append((user, item, rating, summary, aspect, sentence, None))
    return names, pd.DataFrame(explanations, columns=EXPLANATION_COLUMNS)


def _mask(rows: np.ndarray) -> np.ndarray:
    """True at `rows`. Shape: [last row + 1], bool."""
    mask = np.zeros(int(rows.max()) + 1, dtype=bool)
    mask[rows] = True
    return mask
