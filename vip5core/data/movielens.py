"""MovieLens 100K from its raw files, with a folder of posters and a table of plot summaries.

MovieLens has no written explanations, so the explanation task targets a movie's plot summary: one row per movie,
split by movie, so that no summary of the test set is seen in training.

Source: Harper and Konstan, "The MovieLens Datasets", 2015.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from vip5core.data.raw import EXPLANATION_COLUMNS, INTERACTION_COLUMNS, Details, DropLedger, RawData
from vip5core.data.split import leave_one_out, with_positions
from vip5core.errors import UserError

#: Shares of the movies whose summaries are trained on and validated on; the rest is tested on.
_TRAIN, _VALID = 0.8, 0.1


def movielens_100k(source: Path, seed: int = 0) -> RawData:
    """Read `source/ml-100k/` (or `source/` itself), `source/posters/{movie id}.jpg`, `source/overviews.csv`.

    Posters and summaries may be missing: then items have no picture, and the explanation task no rows.
    A line that cannot be read is dropped, counted, and its place recorded.

    Raises:
        UserError: if a needed file is missing or has no readable line.
    """
    folder = source / "ml-100k" if (source / "ml-100k").is_dir() else source
    ledger = DropLedger()
    ratings = _ratings(folder / "u.data", ledger)
    items = _items(folder, source / "posters", ledger)
    overviews = _overviews(source / "overviews.csv", ledger)
    items["description"] = items["raw_id"].map(overviews).fillna("")
    users = pd.DataFrame({"raw_id": sorted(ratings["user"].unique(), key=int)})
    users["name"] = "viewer " + users["raw_id"]
    items["image_urls"] = [[] for _ in range(len(items))]
    details = Details(items.drop(columns="genre"), users, _explanations(ratings, items, seed))
    return RawData(
        source={"name": "movielens-100k", "seed": str(seed)},
        interactions=ratings,
        details=lambda kept: details,
        ledger=ledger,
    )


def _lines(path: Path) -> list[str]:
    """The lines of a text file; the 1998 release is in Latin-1."""
    if not path.is_file():
        raise UserError(
            f"{str(path)!r} is missing: --source must name the folder that holds ml-100k/ (u.data, u.item), "
            "posters/ and overviews.csv"
        )
    lines = path.read_text("latin-1").splitlines()
    if not lines:
        raise UserError(f"{str(path)!r} is empty: download the dataset again")
    return lines


def _ratings(path: Path, ledger: DropLedger) -> pd.DataFrame:
    """`u.data`: user, item, rating, unix time, separated by tabs."""
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split("\t")
        try:
            user, item, rating, timestamp = (int(field) for field in fields)
            if not 1 <= rating <= 5 or timestamp < 0:
                raise ValueError
        except ValueError:
            ledger.add(
                "rating",
                "not four numbers: user, item, rating 1 to 5, time",
                f"u.data line {number}: {line[:80]}",
            )
            continue
        rows.append((str(user), str(item), timestamp, float(rating)))
    if not rows:
        raise UserError(f"{str(path)!r} has no readable rating (tab-separated: user, item, rating, time)")
    return pd.DataFrame(rows, columns=INTERACTION_COLUMNS)


def _items(folder: Path, posters: Path, ledger: DropLedger) -> pd.DataFrame:
    """`u.item`: id | title | … | 19 genre flags, the genres named by `u.genre`."""
    genres = [line.split("|")[0] for line in _lines(folder / "u.genre") if "|" in line]
    rows: dict[str, tuple[object, ...]] = {}
    for number, line in enumerate(_lines(folder / "u.item"), start=1):
        fields = line.split("|")
        if len(fields) != 5 + len(genres) or not fields[0].isdecimal():
            ledger.add("item", f"not {5 + len(genres)} fields", f"u.item line {number}: {line[:80]}")
            continue
        movie = str(int(fields[0]))
        if movie in rows:
            ledger.add("item", "a movie that was there before", f"u.item line {number}: {line[:80]}")
            continue
        flags = [name for name, flag in zip(genres, fields[5:], strict=True) if flag == "1"]
        poster = posters / f"{movie}.jpg"
        rows[movie] = (movie, fields[1], flags, poster if poster.is_file() else None, flags[0] if flags else "")
    return pd.DataFrame(list(rows.values()), columns=["raw_id", "title", "categories", "image", "genre"])


def _overviews(path: Path, ledger: DropLedger) -> dict[str, str]:
    """Movie id to plot summary; an absent file gives none."""
    if not path.is_file():
        ledger.add("explanation", "no overviews.csv: the explanation task has no rows")
        return {}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.DictReader(file)
        if not {"movie_id", "overview"} <= set(rows.fieldnames or ()):
            raise UserError(f"{str(path)!r} has columns {rows.fieldnames}: needs movie_id and overview")
        return {row["movie_id"]: row["overview"] for row in rows if row["overview"]}


def _explanations(ratings: pd.DataFrame, items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per movie with a summary, told to one viewer who rated it in the training part."""
    rng = np.random.default_rng(seed)
    known = ratings[ratings["item"].isin(items["raw_id"])]
    positioned = with_positions(known)
    training = positioned[leave_one_out(positioned) == "train"]
    told = training.iloc[rng.permutation(len(training))].drop_duplicates("item")
    rows = told.merge(items, left_on="item", right_on="raw_id")
    rows = rows[rows["description"] != ""].sort_values("item", key=lambda ids: ids.astype(int))
    place = rng.permutation(len(rows)) / max(len(rows), 1)
    split = np.where(place < _TRAIN, "train", np.where(place < _TRAIN + _VALID, "valid", "test"))
    rows = rows.assign(summary=rows["title"], feature=rows["genre"], explanation=rows["description"], split=split)
    return rows[EXPLANATION_COLUMNS].reset_index(drop=True)
