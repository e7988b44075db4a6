"""A dataset gets the images of its items' addresses in one step, and says why others have none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.image_server import serving
from support.raw import raw_histories

from vip5core.data.build import build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.images import dataset_images as images
from vip5core.data.images.dataset_images import add_images
from vip5core.data.images.options import DownloadOptions
from vip5core.encoders import open_image
from vip5core.errors import UserError

pytestmark = pytest.mark.slow

OPTIONS = DownloadOptions(allow_private=True, attempts=1, timeout_s=10)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A served folder with images a.png, b.png and a page that is none."""
    folder = tmp_path / "web"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (30, 20), colour).save(folder / f"{name}.png")
    (folder / "page.jpg").write_text("<html>no image</html>")
    with serving(folder) as address:
        yield folder, address


def dataset_naming(urls: dict[str, list[str]], out: Path, pictures: dict[str, list[int]] | None = None) -> Path:
    histories = {f"u{n}": ["p", "q", "r", "s", "t"] for n in range(3)}
    return build_dataset(raw_histories(histories, image_urls=urls, url_pictures=pictures or {}), out)


def contents(folder: Path) -> dict[str, list[bytes]]:
    """The pictures of each item with several, in order, as they lie in the dataset."""
    items = Dataset.load(folder).items.set_index("raw_id")
    return {
        raw_id: [(folder / name).read_bytes() for name in (row["image"], *row["further_images"])]
        for raw_id, row in items.iterrows()
        if len(row["further_images"])
    }


def with_image(folder: Path) -> set[str]:
    items = Dataset.load(folder).items
    return set(items.loc[items["image_sha256"].notna(), "raw_id"])


def test_items_get_the_first_address_that_gives_an_image(web: tuple[Path, str], tmp_path: Path) -> None:
    _, at = web
    urls = {"p": [f"{at}a.png"], "q": [f"{at}page.jpg", f"{at}b.png"], "r": [f"{at}gone.png"], "s": [f"{at}a.png"]}
    folder = dataset_naming(urls, tmp_path / "shop")
    before = Dataset.load(folder)
    added = add_images(folder, tmp_path / "downloads", OPTIONS)
    after = Dataset.load(folder)
    assert (added.before, added.now) == (0, 3)
    assert with_image(folder) == {"p", "q", "s"}
    q = after.items.set_index("raw_id").loc["q"]
    assert open_image(folder / q["image"]).getpixel((0, 0)) == (0, 0, 255)
    assert (folder / q["image"]).read_bytes() == (web[0] / "b.png").read_bytes()
    assert after.manifest.counts["items_with_image"] == 3
    assert {drop.reason: drop.count for drop in after.manifest.drops if drop.what == "image"} == {
        "HTTP 404": 1,
        "the item has no image": 1,
    }
    assert added.reasons["reason"].tolist() == ["HTTP 404"]
    assert after.fingerprint != before.fingerprint
    assert after.interactions.equals(before.interactions)


def test_a_second_run_adds_only_what_was_missing(web: tuple[Path, str], tmp_path: Path) -> None:
    served, at = web
    folder = dataset_naming({"p": [f"{at}a.png"], "r": [f"{at}late.png"]}, tmp_path / "shop")
    add_images(folder, tmp_path / "downloads", OPTIONS)
    (served / "late.png").write_bytes((served / "b.png").read_bytes())
    (served / "a.png").unlink()  # not needed again
    assert add_images(folder, tmp_path / "downloads", OPTIONS).now == 1  # a 404 is for good, unless …
    again = DownloadOptions(allow_private=True, attempts=1, retry_failed=True)
    assert add_images(folder, tmp_path / "downloads", again).now == 2
    assert with_image(folder) == {"p", "r"}
    unchanged = (folder / "manifest.json").stat().st_mtime_ns
    assert add_images(folder, tmp_path / "downloads", OPTIONS).now == 2
    assert (folder / "manifest.json").stat().st_mtime_ns == unchanged


def test_a_dataset_is_as_it_was_when_the_exchange_fails(
    web: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset_naming({"p": [f"{web[1]}a.png"]}, tmp_path / "shop")
    before = Dataset.load(folder).fingerprint

    def broken(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "write_table", broken)
    with pytest.raises(KeyboardInterrupt):
        add_images(folder, tmp_path / "downloads", OPTIONS)
    assert Dataset.load(folder).fingerprint == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloads", "shop", "web"]
    monkeypatch.undo()
    assert add_images(folder, tmp_path / "downloads", OPTIONS).now == 1


def test_a_dataset_whose_items_have_no_address_is_rejected(tmp_path: Path) -> None:
    folder = dataset_naming({}, tmp_path / "shop")
    with pytest.raises(UserError, match="no item has an image address"):
        add_images(folder, tmp_path / "downloads", OPTIONS)


def test_an_item_gets_several_different_pictures(web: tuple[Path, str], tmp_path: Path) -> None:
    served, at = web
    for name, colour in (("c", "green"), ("d", "white")):
        Image.new("RGB", (30, 20), colour).save(served / f"{name}.png")
    (served / "a-small.png").write_bytes((served / "d.png").read_bytes())  # told apart from a, were it requested
    (served / "a-again.png").write_bytes((served / "a.png").read_bytes())
    a, b, c = ((served / f"{name}.png").read_bytes() for name in "abc")
    urls = {
        "p": [f"{at}{name}" for name in ("a.png", "b.png", "c.png", "a-small.png")],
        "q": [f"{at}{name}" for name in ("a.png", "a-again.png", "gone.png", "c.png", "b.png")],
        "r": [f"{at}gone.png", f"{at}page.jpg"],
        "s": [f"{at}a.png", f"{at}a-small.png"],
    }
    numbers = {"p": [0, 1, 2, 0], "q": [0, 1, 2, 2, 3], "r": [0, 1]}
    folder = dataset_naming(urls, tmp_path / "shop", numbers)
    requested = tmp_path / "downloads" / "ledger.jsonl"

    added = add_images(folder, tmp_path / "downloads", OPTIONS)
    assert (added.before, added.now, added.further_before, added.further) == (0, 3, 0, 0)
    assert added.reasons["reason"].tolist() == ["not an image: begins with b'<html>no image</'"]
    assert contents(folder) == {}
    first = Dataset.load(folder)

    added = add_images(folder, tmp_path / "downloads", OPTIONS, per_item=2)
    assert (added.before, added.now, added.further_before, added.further) == (3, 3, 0, 2)
    assert contents(folder) == {"p": [a, b], "q": [a, c]}  # not the same picture at another address
    second = Dataset.load(folder)
    assert second.items[["image", "image_sha256"]].equals(first.items[["image", "image_sha256"]])
    assert second.has_further_images
    assert second.manifest.images != first.manifest.images

    added = add_images(folder, tmp_path / "downloads", OPTIONS, per_item=4)
    assert (added.further_before, added.further) == (2, 4)
    assert contents(folder) == {"p": [a, b, c], "q": [a, c, b]}
    assert added.reasons["item"].nunique() == 1  # all that there is of p, q and s was had
    assert requested.is_file()
    assert "a-small" not in requested.read_text()
    unchanged = (folder / "manifest.json").stat().st_mtime_ns
    assert add_images(folder, tmp_path / "downloads", OPTIONS, per_item=4).further == 4
    assert (folder / "manifest.json").stat().st_mtime_ns == unchanged
    assert [len(Dataset.load(folder).pictures(which)) for which in ("first", "mean")] == [3, 7]


def test_a_further_picture_that_is_gone_is_told(web: tuple[Path, str], tmp_path: Path) -> None:
    _, at = web
    urls = {"p": [f"{at}a.png", f"{at}gone.png", f"{at}b.png"], "q": [f"{at}b.png", f"{at}gone.png"]}
    folder = dataset_naming(urls, tmp_path / "shop", {"p": [0, 1, 2], "q": [0, 1]})
    added = add_images(folder, tmp_path / "downloads", OPTIONS, per_item=2)
    assert (added.now, added.further) == (2, 1)  # p has two, although one of its three is gone
    (reason,) = added.reasons.itertuples(index=False)
    assert (reason.url, reason.reason, reason.final) == (f"{at}gone.png", "HTTP 404", True)
    drops = [drop for drop in Dataset.load(folder).manifest.drops if drop.what == "further image"]
    assert [(drop.reason, drop.examples) for drop in drops] == [("HTTP 404", ["item q"])]


@pytest.mark.parametrize("per_item", [0, 17])
def test_the_number_of_pictures_of_an_item_is_bounded(per_item: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"per_item={per_item}: must be from 1 to 16"):
        add_images(tmp_path, tmp_path / "downloads", OPTIONS, per_item=per_item)


def test_several_pictures_of_a_dataset_that_names_one_are_refused(tmp_path: Path) -> None:
    folder = dataset_naming({"p": ["http://x/a.png", "http://x/b.png"]}, tmp_path / "shop")
    with pytest.raises(UserError, match=r"per_item=2: dataset .* has addresses of one picture of each item"):
        add_images(folder, tmp_path / "downloads", OPTIONS, per_item=2)
