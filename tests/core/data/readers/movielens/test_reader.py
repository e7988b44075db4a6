"""MovieLens 100K from raw files: what cannot be read is dropped, counted and located; the rest is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from vip5core.data.build import build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.raw import Drop, RawData, ReadRequest
from vip5core.data.readers.movielens import read_movielens_100k
from vip5core.encoders import UnreadableImage, open_image
from vip5core.errors import UserError

GENRES = ["unknown", "Drama", "Comedy"]
FILMS = 12


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight viewers, twelve films; an image of each, a summary of all but the last."""
    folder = tmp_path / "source" / "ml-100k"
    folder.mkdir(parents=True)
    (folder / "u.genre").write_text("".join(f"{name}|{n}\n" for n, name in enumerate(GENRES)) + "\n")
    films = [f"{n}|Café {n} (1995)|01-Jan-1995||http://x|0|{n % 2}|1" for n in range(1, FILMS + 1)]
    (folder / "u.item").write_text("\n".join(films) + "\n", "latin-1")
    ratings = [
        f"{user}\t{(user + step) % FILMS + 1}\t{1 + step % 5}\t{1000 + step}"
        for user in range(1, 9)
        for step in range(6)
    ]
    (folder / "u.data").write_text("\n".join(ratings) + "\n")
    posters = tmp_path / "source" / "posters"
    posters.mkdir()
    for n in range(1, FILMS + 1):
        Image.effect_noise((40, 60), 60).convert("RGB").save(posters / f"{n}.jpg")
    rows = [f'{n},"A film, about {n}."' for n in range(1, FILMS)]
    (tmp_path / "source" / "overviews.csv").write_text("movie_id,overview\n" + "\n".join(rows) + "\n")
    return tmp_path / "source"


def read(source: Path) -> RawData:
    return read_movielens_100k(ReadRequest("movielens-100k", folder=source))


def build(source: Path) -> Dataset:
    return Dataset.load(build_dataset(read(source), source.parent / "out"))


def drop(dataset: Dataset, what: str) -> Drop:
    return next(drop for drop in dataset.manifest.drops if drop.what == what)


def append(path: Path, *lines: str) -> None:
    path.write_text(path.read_text("latin-1") + "".join(f"{line}\n" for line in lines), "latin-1")


def test_a_valid_source_is_read_completely(source: Path) -> None:
    dataset = build(source)
    assert dataset.manifest.counts["users"] == 8
    assert dataset.manifest.counts["interactions"] == 48
    assert dataset.manifest.drops == []
    film = dataset.items.set_index("raw_id").loc["3"]
    assert film["title"] == "Café 3 (1995)"
    assert list(film["categories"]) == ["Drama", "Comedy"]
    assert film["description"] == "A film, about 3."
    viewer = dataset.users.set_index("raw_id").loc["2"]
    assert viewer["name"] == "viewer 2"
    raw_id = dataset.items.set_index("item")["raw_id"]
    assert raw_id[dataset.history(viewer["user"])].tolist() == ["3", "4", "5", "6", "7", "8"]


def test_a_summary_occurs_once_in_one_split(source: Path) -> None:
    dataset = build(source)
    rows = dataset.explanations
    assert rows["item"].is_unique
    assert set(rows["split"]) == {"train", "valid", "test"}
    shown = dataset.interactions.merge(rows, on=["user", "item"])
    assert set(shown["split_x"]) == {"train"}  # shown to a viewer who rated it in the training part


def test_broken_rating_lines_are_dropped_counted_and_located(source: Path) -> None:
    sound = len(build(source).interactions)
    broken = ["1\t2\t3", "one\t2\t3\t4", "1\t2\t9\t4", "1\t2\t3\t-4", "1 2 3 4", "1\t2\t3\t4\t5"]
    append(source / "ml-100k" / "u.data", *broken)
    dataset = Dataset.load(build_dataset(read(source), source.parent / "again"))
    assert len(dataset.interactions) == sound
    assert drop(dataset, "rating").count == len(broken)
    assert drop(dataset, "rating").examples[0] == "u.data line 49: 1\t2\t3"
    assert len(drop(dataset, "rating").examples) == 5


def test_a_broken_film_line_takes_its_ratings_with_it(source: Path) -> None:
    path = source / "ml-100k" / "u.item"
    path.write_text(path.read_text("latin-1").replace("3|Café 3 (1995)", "²|Café 3 (1995)", 1), "latin-1")
    dataset = build(source)
    assert "3" not in set(dataset.items["raw_id"])
    assert drop(dataset, "item").examples[0].startswith("u.item line 3: ")
    assert drop(dataset, "interaction").count == 48 - len(dataset.interactions) > 0
    assert drop(dataset, "interaction").examples == ["3"]


def test_a_film_without_a_title_is_called_by_its_number(source: Path) -> None:
    path = source / "ml-100k" / "u.item"
    path.write_text(path.read_text("latin-1").replace("Café 4 (1995)", " "), "latin-1")
    dataset = build(source)
    film = dataset.items.set_index("raw_id").loc["4"]
    assert film["title"] == f"item {film['item']}"
    assert drop(dataset, "title").examples == ["item 4"]


def test_images_that_are_missing_or_unreadable_do_not_stop_a_preparation(source: Path) -> None:
    posters = source / "posters"
    (posters / "3.jpg").unlink()
    (posters / "4.jpg").write_bytes((posters / "4.jpg").read_bytes()[:600])
    (posters / "5.jpg").write_bytes(b"")
    (posters / "6.jpg").write_text("<html>404</html>")
    dataset = build(source)
    assert (drop(dataset, "image").count, drop(dataset, "image").examples) == (1, ["item 3"])
    reasons = {}
    for film in dataset.items[dataset.items["image"].notna()].itertuples():
        try:
            open_image(dataset.folder / film.image)
        except UnreadableImage as error:
            reasons[film.raw_id] = str(error).split(":")[0]
    assert reasons == {"4": "damaged JPEG", "5": "empty file", "6": "not an image"}


def test_posters_of_any_ending_are_found_and_those_of_no_film_are_counted(source: Path) -> None:
    posters = source / "posters"
    (posters / "3.jpg").rename(posters / "3.JPG")
    (posters / "4.jpg").rename(posters / "4.jpeg")
    Image.new("RGB", (40, 60)).save(posters / "5.webp")
    Image.new("RGB", (40, 60)).save(posters / "999.webp")
    dataset = build(source)
    assert dataset.items["image"].notna().all()
    assert dataset.items.set_index("raw_id").loc["5", "image"].endswith(".jpg")
    told = {drop.reason: drop.examples for drop in dataset.manifest.drops if drop.what == "image file"}
    assert told == {
        "several of one name: one is taken": ["5.jpg, not 5.webp"],
        "lies unused: no item that is kept has it": ["5.webp", "999.webp"],
    }


def test_a_source_without_images_and_summaries_still_has_its_histories(source: Path) -> None:
    (source / "overviews.csv").unlink()
    for poster in (source / "posters").iterdir():
        poster.unlink()
    (source / "posters").rmdir()
    dataset = build(source / "ml-100k")  # the inner folder will do, too
    assert dataset.manifest.counts["items_with_image"] == 0
    assert len(dataset.explanations) == 0
    assert drop(dataset, "explanation").reason.startswith("no overviews.csv")


@pytest.mark.parametrize("name", ["u.data", "u.item", "u.genre"])
def test_a_missing_or_empty_file_is_named(source: Path, name: str) -> None:
    (source / "ml-100k" / name).write_text("")
    with pytest.raises(UserError, match=f"{name}' is empty"):
        read(source)
    (source / "ml-100k" / name).unlink()
    with pytest.raises(UserError, match=f"{name}' is missing: --source must be the folder"):
        read(source)


def test_a_file_of_another_kind_is_rejected(source: Path) -> None:
    (source / "ml-100k" / "u.data").write_text("userId,movieId,rating,timestamp\n1,2,3,4\n")
    with pytest.raises(UserError, match="not a valid rating"):
        read(source)


def test_a_summary_table_of_other_columns_is_rejected(source: Path) -> None:
    (source / "overviews.csv").write_text("id,text\n1,x\n")
    with pytest.raises(UserError, match=r"has columns .* needs movie_id and overview"):
        read(source)


@pytest.mark.slow
def test_the_real_release(real_data: Path, tmp_path: Path) -> None:
    dataset = Dataset.load(build_dataset(read(real_data / "movielens-100k"), tmp_path / "out"))
    counts = dataset.manifest.counts
    assert (counts["users"], counts["items"], counts["interactions"]) == (943, 1682, 100_000)
    assert counts["items"] - counts["items_with_image"] == 19 == drop(dataset, "image").count
    assert all(len(dataset.candidates(user, "test")) == 100 for user in range(1, 944))
