"""The films of a MovieLens release, with their posters and plot summaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vip5core.data.raw import EXPLANATION_COLUMNS, ITEM_COLUMNS, Details, DropLedger
from vip5core.data.readers.image_files import PictureFolder
from vip5core.data.readers.text_files.csv_rows import CsvTable
from vip5core.data.readers.text_files.lines import BadLine
from vip5core.data.readers.text_files.numeric_rows import parse_number

#: Shares of the movies whose summaries are for training and validation; the others are for the test.
_TRAIN, _VALID = 0.8, 0.1


@dataclass(frozen=True)
class Film:
    """The title and the genres of a film; the first genre is the aspect of its explanation."""

    title: str
    genres: list[str]


class Films(dict[str, Film]):
    """Films by id."""

    def add(self, movie: str, title: str, genres: list[str]) -> None:
        """Raises: BadLine if the id is not a number, or is a duplicate."""
        raw_id = str(parse_number(movie, "the movie's id is not a number"))
        if raw_id in self:
            raise BadLine("duplicate movie")
        self[raw_id] = Film(title, genres)


def read_overviews(path: Path, ledger: DropLedger) -> dict[str, str]:
    """Read the plot summaries by movie id; there are none without the file.

    Raises:
        UserError: if the file lacks a column or is not UTF-8.
    """
    if not path.is_file():
        ledger.add("explanation", "no overviews.csv: the explanation task has no rows")
        return {}
    table = CsvTable(path)
    columns = ["movie_id", "overview"]
    rows = table.rows(columns, lambda row: (row[0].strip(), row[1].strip()), ledger, "overview", columns[1:])
    return {movie: overview for _, (movie, overview) in rows if overview}


def film_details(
    kept: pd.DataFrame,
    films: Mapping[str, Film],
    posters: PictureFolder,
    overviews: Mapping[str, str],
    seed: int,
    ledger: DropLedger,
) -> Details:
    """What a release knows about its films, and about the viewers of the interactions `kept`."""
    watched = set(kept["item"])
    rows: list[tuple[object, ...]] = [
        (
            movie,
            film.title,
            film.genres,
            overviews.get(movie, ""),
            posters.find(movie, ledger) if movie in watched else None,
            [],
            [],
        )
        for movie, film in films.items()
    ]
    posters.add_unused(ledger)
    items = pd.DataFrame(rows, columns=ITEM_COLUMNS)
    users = pd.DataFrame({"raw_id": sorted(kept["user"].unique(), key=int)})
    users["name"] = "viewer " + users["raw_id"]
    return Details(items, users, _explanations(kept, items, seed))


def _explanations(kept: pd.DataFrame, items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """One row per movie with a summary, by one viewer who rated it in the training split."""
    rng = np.random.default_rng(seed)
    training = kept[(kept["split"] == "train") & kept["item"].isin(items["raw_id"])]
    chosen = training.iloc[rng.permutation(len(training))].drop_duplicates("item")
    rows = chosen.merge(items, left_on="item", right_on="raw_id")
    rows = rows[rows["description"] != ""].sort_values("item", key=lambda ids: ids.astype(int))
    place = rng.permutation(len(rows)) / max(len(rows), 1)
    split = np.where(place < _TRAIN, "train", np.where(place < _TRAIN + _VALID, "valid", "test"))
    genre = rows["categories"].map(lambda names: names[0] if names else "")
    rows = rows.assign(summary=rows["title"], aspect=genre, explanation=rows["description"], split=split)
    return rows[EXPLANATION_COLUMNS].reset_index(drop=True)
