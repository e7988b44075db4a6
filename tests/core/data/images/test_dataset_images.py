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


def dataset_naming(urls: dict[str, list[str]], out: Path) -> Path:
    histories = {f"u{n}": ["p", "q", "r", "s", "t"] for n in range(3)}
    return build_dataset(raw_histories(histories, image_urls=urls), out)


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
