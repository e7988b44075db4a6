"""The MovieLens releases 100K, 1M and latest, each with a folder of posters and a table of plot summaries.

MovieLens has no written explanations, so the explanation task targets a movie's plot summary: one row per movie,
split by movie, so that no summary of the test set is seen in training.

Posters and summaries are found by the release's own movie ids: `posters/{movie id}.jpg` (or another ending, see
`PictureFolder`), and `overviews.csv` with the columns movie_id and overview. Both are optional: without them, items
have no images, and the explanation task has no rows. Other files of a release are not read: `users.dat` describes the
viewers, `links.csv` leads to pages that give images only with an API key, and `tags.csv` has what viewers wrote, also
about held-out movies.

Source: Harper and Konstan, "The MovieLens Datasets", 2015.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from vip5core.data.raw import Details, DropLedger, RawData, ReadRequest
from vip5core.data.readers.image_files import PictureFolder
from vip5core.data.readers.movielens.films import Films, film_details, read_overviews
from vip5core.data.readers.text_files.csv_rows import CsvTable
from vip5core.data.readers.text_files.lines import BadLine, read_lines
from vip5core.data.readers.text_files.numeric_rows import parse_number, to_interactions
from vip5core.errors import UserError

_WHOLE_STARS = {str(stars): float(stars) for stars in range(1, 6)}
_HALF_STARS = {text: half / 2 for half in range(1, 11) for text in (f"{half / 2:g}", f"{half / 2:.1f}")}


def read_movielens_100k(request: ReadRequest) -> RawData:
    """Read `ml-100k/` in the request's folder, or that folder itself: `u.data`, `u.item`, `u.genre`.

    A line that cannot be read is dropped, counted, and its place recorded.

    Raises:
        UserError: if a required file is missing or has another format.
    """
    folder = _find_release(request.folder, "ml-100k", ["u.data", "u.item", "u.genre"])
    ledger = DropLedger()
    ratings = to_interactions(_read_ratings(folder / "u.data", "\t", ledger))
    genres = list(read_lines(folder / "u.genre", lambda line: line.split("|")[0], None, "genre", "latin-1"))

    films = Films()

    def film(line: str) -> None:
        """Id | title | … | a flag for each genre."""
        fields = line.rstrip("\r\n").split("|")
        if len(fields) != 5 + len(genres):
            raise BadLine(f"not {5 + len(genres)} fields")
        flagged = [name for name, flag in zip(genres, fields[5:], strict=True) if flag == "1"]
        films.add(fields[0], fields[1], flagged)

    deque(read_lines(folder / "u.item", film, ledger, "item", "latin-1"), maxlen=0)
    return _make_raw_data(request, ratings, films, ledger)


def read_movielens_1m(request: ReadRequest) -> RawData:
    """Read `ml-1m/` in the request's folder, or that folder itself: `ratings.dat`, `movies.dat`.

    Raises:
        UserError: if a required file is missing or has another format.
    """
    folder = _find_release(request.folder, "ml-1m", ["ratings.dat", "movies.dat"])
    ledger = DropLedger()
    ratings = to_interactions(_read_ratings(folder / "ratings.dat", "::", ledger))

    films = Films()

    def film(line: str) -> None:
        """Id :: title :: genre|genre|…"""
        found = re.fullmatch(r"([^:]*)::(.*)::([^:]*)", line.strip())
        if not found:
            raise BadLine("not id::title::genres")
        films.add(found[1], found[2], _split_genres(found[3]))

    deque(read_lines(folder / "movies.dat", film, ledger, "item", "latin-1"), maxlen=0)
    return _make_raw_data(request, ratings, films, ledger)


def read_movielens_latest(request: ReadRequest) -> RawData:
    """Read `ml-latest-small/` in the request's folder, or that folder itself: `ratings.csv`, `movies.csv`.

    Ratings may have half stars. The larger releases in this format (20M and later) can be read, too.

    Raises:
        UserError: if a required file is missing or has another format.
    """
    folder = _find_release(request.folder, "ml-latest-small", ["ratings.csv", "movies.csv"])
    ledger = DropLedger()
    rated = CsvTable(folder / "ratings.csv").rows(
        ["userId", "movieId", "rating", "timestamp"],
        lambda fields: _parse_rating(fields, _HALF_STARS),
        ledger,
        "rating",
    )
    ratings = to_interactions(row for _, row in rated)
    films = Films()
    movies = CsvTable(folder / "movies.csv").rows(
        ["movieId", "title", "genres"], lambda row: films.add(row[0], row[1], _split_genres(row[2])), ledger, "item"
    )
    deque(movies, maxlen=0)
    return _make_raw_data(request, ratings, films, ledger)


def _find_release(source: Path, name: str, files: Sequence[str]) -> Path:
    """Find the folder of a release's own files."""
    folder = source / name if (source / name).is_dir() else source
    for file in files:
        if not (folder / file).is_file():
            raise UserError(
                f"{str(folder / file)!r} is missing: --source must be the folder that holds {name}/ "
                f"({', '.join(files)}), posters/ and overviews.csv"
            )
    return folder


def _read_ratings(path: Path, separator: str, ledger: DropLedger) -> Iterator[tuple[int, int, int, float]]:
    return read_lines(
        path, lambda line: _parse_rating(line.split(separator), _WHOLE_STARS), ledger, "rating", "latin-1"
    )


def _parse_rating(fields: Sequence[str], stars: dict[str, float]) -> tuple[int, int, int, float]:
    """Parse a rating into user, movie, unix time and stars."""
    problem = f"not a valid rating: needs user, movie, {min(stars)} to 5 stars and time"
    if len(fields) != 4 or fields[2].strip() not in stars:
        raise BadLine(problem)
    user, movie, _, time = (parse_number(field, problem) if place != 2 else 0 for place, field in enumerate(fields))
    return user, movie, time, stars[fields[2].strip()]


def _split_genres(names: str) -> list[str]:
    return [name for name in names.split("|") if name and name != "(no genres listed)"]


def _make_raw_data(request: ReadRequest, ratings: pd.DataFrame, films: Films, ledger: DropLedger) -> RawData:
    overviews = read_overviews(request.folder / "overviews.csv", ledger)

    def details(kept: pd.DataFrame) -> Details:
        posters = PictureFolder(request.folder / "posters")
        return film_details(kept, films, posters, overviews, request.seed, ledger)

    return RawData({"name": request.name, "seed": str(request.seed)}, ratings, details, ledger)
