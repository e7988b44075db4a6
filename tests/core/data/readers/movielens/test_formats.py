"""MovieLens 1M and latest from raw files, and the text, images and drops they share with 100K."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mutation import EXAMPLES, edits, prepares_or_explains, write_files

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.raw import Drop, RawData, ReadRequest
from vip5core.data.readers.movielens import read_movielens_1m, read_movielens_100k, read_movielens_latest
from vip5core.errors import UserError

pytestmark = pytest.mark.slow

USERS, FILMS = 6, 12
OVERVIEWS = "movie_id,overview\n" + "".join(f'{n},"A film, about {n}."\n' for n in range(1, FILMS))


def rated(user: int) -> list[tuple[int, int, int]]:
    """Film, whole stars, time: two and two in one second."""
    return [((user + 5 * step) % FILMS + 1, 1 + step % 5, 1000 + step // 2) for step in range(6)]


def release_100k() -> dict[str, bytes]:
    films = "".join(f"{n}|Café {n} (1995)|||x|{n % 2}|1\n" for n in range(1, FILMS + 1))
    ratings = [f"{u}\t{film}\t{stars}\t{time}\n" for u in range(1, USERS + 1) for film, stars, time in rated(u)]
    return {
        "ml-100k/u.data": "".join(ratings).encode(),
        "ml-100k/u.item": films.encode("latin-1"),
        "ml-100k/u.genre": b"Drama|0\nComedy|1\n",
        "overviews.csv": OVERVIEWS.encode(),
    }


def release_1m() -> dict[str, bytes]:
    films = "".join(f"{n}::Café: {n} (1995)::Drama|Film-Noir\n" for n in range(1, FILMS + 1))
    ratings = [f"{u}::{film}::{stars}::{time}\n" for u in range(1, USERS + 1) for film, stars, time in rated(u)]
    return {
        "ml-1m/ratings.dat": "".join(ratings).encode(),
        "ml-1m/movies.dat": films.encode("latin-1"),
        "ml-1m/users.dat": b"1::F::1::10::48067\n",
        "overviews.csv": OVERVIEWS.encode(),
    }


def release_latest() -> dict[str, bytes]:
    films = "".join(f'{n},"Café, The: ""{n}"" (1995)",Drama|Film-Noir\n' for n in range(1, FILMS))
    ratings = [f"{u},{film},{stars - 0.5},{time}\n" for u in range(1, USERS + 1) for film, stars, time in rated(u)]
    return {
        "ml-latest-small/ratings.csv": ("userId,movieId,rating,timestamp\n" + "".join(ratings)).encode(),
        "ml-latest-small/movies.csv": (
            f"movieId,title,genres\n{films}{FILMS},Plain (1995),(no genres listed)\n"
        ).encode(),
        "ml-latest-small/links.csv": b"movieId,imdbId,tmdbId\n1,0114709,862\n",
        "ml-latest-small/tags.csv": b"userId,movieId,tag,timestamp\n2,1,funny,1445714994\n",
        "overviews.csv": OVERVIEWS.encode(),
    }


READERS = {
    "100k": (read_movielens_100k, release_100k),
    "1m": (read_movielens_1m, release_1m),
    "latest": (read_movielens_latest, release_latest),
}
RATINGS = {"100k": "ml-100k/u.data", "1m": "ml-1m/ratings.dat", "latest": "ml-latest-small/ratings.csv"}
MOVIES = {"100k": "ml-100k/u.item", "1m": "ml-1m/movies.dat", "latest": "ml-latest-small/movies.csv"}


@pytest.fixture(params=READERS)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def source_of(release: str, tmp_path: Path) -> Path:
    return write_files(tmp_path / "source", READERS[release][1]())


def read(release: str, source: Path) -> RawData:
    return READERS[release][0](ReadRequest(f"movielens-{release}", folder=source))


def build(release: str, source: Path, options: BuildOptions | None = None) -> Dataset:
    return Dataset.load(build_dataset(read(release, source), source.parent / "out", options))


def drops(dataset: Dataset, what: str) -> list[Drop]:
    return [drop for drop in dataset.manifest.drops if drop.what == what]


def append(path: Path, *lines: str) -> None:
    path.write_bytes(path.read_bytes() + "".join(f"{line}\n" for line in lines).encode("latin-1"))


def test_a_valid_release_is_read_completely_and_ties_may_keep_the_order_of_the_file(
    release: str, tmp_path: Path
) -> None:
    dataset = build(release, source_of(release, tmp_path), BuildOptions(ties="file"))
    assert dataset.manifest.counts["users"] == USERS
    assert dataset.manifest.counts["interactions"] == 6 * USERS
    assert [drop.what for drop in dataset.manifest.drops] == ["image"]
    for user in range(1, USERS + 1):
        number = dataset.users.set_index("raw_id")["user"][str(user)]
        films = dataset.items["raw_id"].iloc[dataset.history(number) - 1].tolist()
        assert films == [str(film) for film, _, _ in rated(user)]
        rows = dataset.interactions[dataset.interactions["user"] == number]
        assert rows["timestamp"].tolist() == [time for _, _, time in rated(user)]
        assert rows["split"].tolist() == ["train"] * 4 + ["valid", "test"]


def test_titles_genres_and_summaries_come_in_the_encoding_of_the_release(tmp_path: Path) -> None:
    film = build("1m", source_of("1m", tmp_path / "1m")).items.set_index("raw_id").loc["3"]
    assert (film["title"], film["description"]) == ("Café: 3 (1995)", "A film, about 3.")
    assert list(film["categories"]) == ["Drama", "Film-Noir"]
    items = build("latest", source_of("latest", tmp_path / "latest")).items.set_index("raw_id")
    assert items.loc["3"]["title"] == 'Café, The: "3" (1995)'
    assert list(items.loc[str(FILMS)]["categories"]) == []


def test_a_summary_has_one_viewer_who_rated_it_in_the_training_split(release: str, tmp_path: Path) -> None:
    dataset = build(release, source_of(release, tmp_path))
    explained = dataset.explanations
    assert explained["item"].is_unique
    assert len(explained) >= FILMS - 2
    assert set(explained["split"]) == {"train", "valid", "test"}
    shown = dataset.interactions.merge(explained, on=["user", "item"])
    assert len(shown) == len(explained)
    assert set(shown["split_x"]) == {"train"}


def test_summaries_have_viewers_that_the_options_keep(release: str, tmp_path: Path) -> None:
    source = source_of(release, tmp_path)
    line = {"100k": "99\t{}\t5\t1", "1m": "99::{}::5::1", "latest": "99,{},5.0,1"}[release]
    append(source / RATINGS[release], *(line.format(film) for film in range(1, 4)))  # too few for a split
    dataset = build(release, source)
    assert "99" not in set(dataset.users["raw_id"])
    assert len(dataset.explanations) >= FILMS - 2


def test_stars_are_half_in_the_latest_release_and_whole_in_the_older(tmp_path: Path) -> None:
    latest = build("latest", source_of("latest", tmp_path / "latest"))
    assert sorted(latest.interactions["rating"].unique()) == [0.5, 1.5, 2.5, 3.5, 4.5]
    source = source_of("1m", tmp_path / "1m")
    append(source / RATINGS["1m"], "1::1::4.5::5")
    assert drops(build("1m", source), "rating")[0].count == 1


@pytest.mark.parametrize("stars", ["0", "0.3", "5.5", "-1", "nan", "", "4,5", "1e0"])
def test_stars_that_nobody_can_give_are_dropped(stars: str, tmp_path: Path) -> None:
    source = source_of("latest", tmp_path)
    append(source / RATINGS["latest"], f'1,2,"{stars}",1001')
    dataset = build("latest", source)
    assert len(dataset.interactions) == 6 * USERS
    assert drops(dataset, "rating")[0].examples == [f"ratings.csv line {6 * USERS + 2}: 1,2,{stars},1001"]


def test_broken_rating_lines_are_dropped_counted_and_located(release: str, tmp_path: Path) -> None:
    source = source_of(release, tmp_path)
    separator = {"100k": "\t", "1m": "::", "latest": ","}[release]
    rows = [
        ["1", "2", "3"],
        ["one", "2", "3", "4"],
        ["1", "2", "9", "4"],
        ["1", "2", "3", "-4"],
        ["\x1c1", "2", "3", "4"],
    ]
    append(source / RATINGS[release], *(separator.join(row) for row in rows))
    dataset = build(release, source)
    assert len(dataset.interactions) == 6 * USERS
    found = drops(dataset, "rating")
    assert sum(drop.count for drop in found) == len(rows)
    line = 6 * USERS + (2 if release == "latest" else 1)
    name = Path(RATINGS[release]).name
    assert found[0].examples[0] == f"{name} line {line}: {separator.join(rows[0])}"


def test_a_duplicate_or_broken_film_is_dropped_and_takes_its_ratings_with_it(release: str, tmp_path: Path) -> None:
    source = source_of(release, tmp_path)
    path = source / MOVIES[release]
    text = path.read_text("latin-1")
    first = {"100k": "1|", "1m": "1::", "latest": "1,"}[release]
    append(path, next(line for line in text.splitlines() if line.startswith(first)))
    path.write_bytes(path.read_bytes().replace(f"\n2{first[1:]}".encode(), f"\nx{first[1:]}".encode()))
    dataset = build(release, source)
    assert {drop.reason: drop.count for drop in drops(dataset, "item")} == {
        "duplicate movie": 1,
        "the movie's id is not a number": 1,
    }
    assert "2" not in set(dataset.items["raw_id"])
    assert drops(dataset, "interaction")[0].examples == ["2"]
    explained = dataset.interactions.merge(dataset.explanations, on=["user", "item"])
    assert set(explained["split_x"]) == {"train"}


def test_posters_go_by_the_films_id(release: str, tmp_path: Path) -> None:
    source = source_of(release, tmp_path)
    posters = {3: ".jpg", 4: ".png", 5: ".webp"}
    write_files(source, {f"posters/{film}{ending}": ending.encode() for film, ending in posters.items()})
    items = build(release, source).items.set_index("raw_id")
    with_image = items["image"][items["image"].notna()]
    assert {
        int(film): (tmp_path / "out" / image).read_bytes().decode() for film, image in with_image.items()
    } == posters


def test_no_summaries_no_explanations(release: str, tmp_path: Path) -> None:
    source = source_of(release, tmp_path)
    (source / "overviews.csv").unlink()
    dataset = build(release, source)
    assert len(dataset.explanations) == 0
    assert drops(dataset, "explanation")[0].reason.startswith("no overviews.csv")


@pytest.mark.parametrize("files", [RATINGS, MOVIES])
def test_a_missing_empty_or_wrong_file_is_named(files: dict[str, str], release: str, tmp_path: Path) -> None:
    source = source_of(release, tmp_path)
    path = source / files[release]
    path.write_text("<html>\n<body>404\n")
    with pytest.raises(UserError, match=rf"{path.name}'.* (cannot be read|needs)"):
        read(release, source)
    path.write_text("")
    with pytest.raises(UserError, match=f"{path.name}' is empty"):
        read(release, source)
    path.unlink()
    with pytest.raises(UserError, match=rf"{path.name}' is missing: --source must be the folder that holds ml-"):
        read(release, source)


def test_columns_are_found_by_name_and_missed_by_name(tmp_path: Path) -> None:
    source = source_of("latest", tmp_path)
    path = source / RATINGS["latest"]
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("".join(f"{time},{rating},{user},{film}\n" for user, film, rating, time in rows))
    assert len(build("latest", source).interactions) == 6 * USERS
    path.write_text(path.read_text().replace("timestamp", "timestmp", 1))
    with pytest.raises(UserError, match="but has no 'timestamp': did you mean 'timestmp'"):
        read("latest", source)


def test_the_inner_folder_can_be_given(release: str, tmp_path: Path) -> None:
    source = source_of(release, tmp_path)
    assert len(read(release, source / Path(RATINGS[release]).parent).interactions) == 6 * USERS


@pytest.mark.parametrize("release", READERS)
@settings(max_examples=EXAMPLES // 3)
@given(data=st.data())
def test_damaged_files_give_a_dataset_or_an_error_that_says_why(release: str, data: st.DataObject) -> None:
    reader, files = READERS[release]
    prepares_or_explains(reader, files(), data.draw(edits(list(files()))), f"movielens-{release}")
