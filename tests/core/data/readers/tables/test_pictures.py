"""The pictures of a user's own tables: names, endings, a folder elsewhere, and what must not be reached."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.raw import ReadRequest
from vip5core.data.readers.tables import read_tables
from vip5core.data.sources import prepare
from vip5core.errors import UserError
from vip5core.home import Home

ITEMS = [f"p{number}" for number in range(6)]
UNUSED = "lies unused: no item that is kept has it"


def picture(name: str) -> bytes:
    """A PNG that differs by name."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), tuple(name.encode()[:3].ljust(3))).save(file, "PNG")
    return file.getvalue() + name.encode()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Interactions of all items, and no other tables."""
    folder = tmp_path / "source"
    folder.mkdir()
    rows = [(f"u{user}", ITEMS[(user + step) % 6]) for user in range(4) for step in range(5)]
    pd.DataFrame(rows, columns=["user", "item"]).to_csv(folder / "interactions.csv", index=False)
    return folder


def add(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(name))


def name_pictures(source: Path, *names: str) -> None:
    frame = pd.DataFrame({"item": ITEMS, "title": ITEMS, "image": [*names, *[""] * (6 - len(names))]})
    frame.to_csv(source / "items.csv", index=False)


def use_root(source: Path, root: object) -> None:
    (source / "columns.yaml").write_text(f"images: {{root: '{root}'}}")


def build(source: Path) -> Dataset:
    raw = read_tables(ReadRequest("tables", folder=source))
    return Dataset.load(build_dataset(raw, source.parent / "out", BuildOptions(candidates=4)))


def found(dataset: Dataset) -> dict[str, str]:
    """The name of each item's picture."""
    images = dataset.items.dropna(subset=["image"]).set_index("raw_id")["image"]
    return {item: (dataset.folder / image).read_bytes().split(b"\x82")[-1].decode() for item, image in images.items()}


def told(dataset: Dataset, what: str) -> dict[str, list[str]]:
    reasons = {drop.reason: drop.examples for drop in dataset.manifest.drops if drop.what == what}
    return {reason: places for reason, places in reasons.items() if reason != "the item has no image"}


def test_a_name_may_have_its_ending_in_the_other_case_or_lack_it(source: Path) -> None:
    add(source / "photos", "a.JPG", "b.jpg", "c.webp", "d.e.Png", "f.gif")
    name_pictures(source, "photos/a.jpg", "photos/b.JPG", "photos/c", "photos/d.e", "photos/f.png", "photos/none")
    dataset = build(source)
    assert found(dataset) == {"p0": "a.JPG", "p1": "b.jpg", "p2": "c.webp", "p3": "d.e.Png"}
    assert told(dataset, "image") == {
        "no such file": ["items.csv line 6: photos/f.png", "items.csv line 7: photos/none"]
    }
    assert told(dataset, "image file") == {UNUSED: ["f.gif"]}


def test_a_file_of_the_very_name_comes_first(source: Path) -> None:
    add(source, "a", "a.jpg", "b.JPG", "b.jpg", "c.png", "c.jpg")
    name_pictures(source, "a", "b.JPG", "c")
    dataset = build(source)
    assert found(dataset) == {"p0": "a", "p1": "b.JPG", "p2": "c.jpg"}
    assert told(dataset, "image file") == {
        "several of one name: one is taken": ["c.jpg, not c.png"],
        UNUSED: ["a.jpg", "b.jpg", "c.png"],
    }


def test_pictures_may_lie_outside_the_source(source: Path, tmp_path: Path) -> None:
    add(tmp_path / "disk", "1/a.jpg", "b.png", "unused.tif")
    use_root(source, tmp_path / "disk")
    name_pictures(source, "1/a.jpg", "b", "https://x.org/c.jpg")
    dataset = build(source)
    assert found(dataset) == {"p0": "1/a.jpg", "p1": "b.png"}
    assert list(dataset.items.set_index("raw_id").loc["p2", "image_urls"]) == ["https://x.org/c.jpg"]
    assert told(dataset, "image file") == {UNUSED: ["unused.tif"]}


@pytest.mark.parametrize("titled", [True, False], ids=["items", "interactions alone"])
def test_without_a_column_of_images_a_root_has_them_by_id(titled: bool, source: Path, tmp_path: Path) -> None:
    add(tmp_path / "disk", "p0.jpg", "p1.JPEG", "p2.webp", "p9.jpg")
    (tmp_path / "disk" / "p3.jpg").write_bytes(b"<html>")
    use_root(source, tmp_path / "disk")
    if titled:
        pd.DataFrame({"item": ITEMS, "title": ITEMS}).to_csv(source / "items.csv", index=False)
    dataset = build(source)
    assert found(dataset) == {"p0": "p0.jpg", "p1": "p1.JPEG", "p2": "p2.webp"}
    assert told(dataset, "image") == {"not an image": ["item p3"]}
    assert told(dataset, "image file") == {UNUSED: ["p9.jpg"]}


@pytest.mark.parametrize("root", ["../disk", "~/disk", "linked"])
def test_a_root_may_be_relative_in_the_home_or_a_link(
    root: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    add(tmp_path / "disk", "p0.jpg")
    (source / "linked").symlink_to(tmp_path / "disk")
    use_root(source, root)
    assert found(build(source)) == {"p0": "p0.jpg"}


def test_names_from_the_source_may_lead_into_the_root_by_a_link(source: Path, tmp_path: Path) -> None:
    add(tmp_path / "disk", "a.jpg", "sub/b.JPG", "c.webp")
    add(source, "own.jpg")
    (source / "photos").symlink_to(tmp_path / "disk")
    use_root(source, "photos")
    name_pictures(source, "photos/a.jpg", "photos/sub/b.jpg", "c", "own.jpg", "photos/none.jpg", "../own.jpg")
    dataset = build(source)
    assert found(dataset) == {"p0": "a.jpg", "p1": "sub/b.JPG", "p2": "c.webp"}
    assert told(dataset, "image") == {
        "no such file": ["items.csv line 5: own.jpg", "items.csv line 6: photos/none.jpg"],
        "outside the folder of images.root": ["items.csv line 7: ../own.jpg"],
    }


def test_no_name_leads_out_of_the_root(source: Path, tmp_path: Path) -> None:
    add(tmp_path / "disk", "a.jpg", "b.jpg")
    add(tmp_path, "secret.jpg")
    (tmp_path / "disk" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "disk" / "out").symlink_to(tmp_path)
    (tmp_path / "disk" / "b-too.jpg").symlink_to(tmp_path / "disk" / "b.jpg")
    use_root(source, tmp_path / "disk")
    name_pictures(source, "../secret.jpg", "link.jpg", "out/secret", str(tmp_path / "disk" / "a.jpg"), "b-too.jpg")
    dataset = build(source)
    assert found(dataset) == {"p4": "b.jpg"}
    assert told(dataset, "image") == {
        "outside the folder of images.root": [
            *("items.csv line 2: ../secret.jpg", "items.csv line 3: link.jpg", "items.csv line 4: out/secret"),
        ],
        "absolute path": [f"items.csv line 5: {str(tmp_path / 'disk' / 'a.jpg')[:80]}"],
    }


def test_without_a_root_a_link_out_of_the_source_stays_refused(source: Path, tmp_path: Path) -> None:
    add(tmp_path / "disk", "a.JPG")
    (source / "photos").symlink_to(tmp_path / "disk")
    name_pictures(source, "photos/a.JPG", "photos/a.jpg", "photos/a")
    dataset = build(source)
    assert found(dataset) == {}
    assert list(told(dataset, "image")) == ["outside the source's folder"]


def test_a_root_gives_nothing_but_pictures(source: Path, tmp_path: Path) -> None:
    """A mapping from somebody else may name any folder of this machine."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0")
    (tmp_path / "etc" / "key.jpg").write_text("-----BEGIN PRIVATE KEY-----")
    (tmp_path / "etc" / "p.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "etc" / "empty.png").write_bytes(b"")
    use_root(source, tmp_path / "etc")
    name_pictures(source, "passwd", "key.jpg", "p.heic", "empty.png")
    dataset = build(source)
    assert not list((dataset.folder / "images").iterdir())
    assert told(dataset, "image") == {
        "not an image": ["items.csv line 2: passwd", "items.csv line 3: key.jpg"],
        "HEIC is not read: convert it to JPEG or PNG": ["items.csv line 4: p.heic"],
        "empty file": ["items.csv line 5: empty.png"],
    }


@pytest.mark.parametrize("root", ["none", "interactions.csv", "x" * 5000, "~nobody-of-this-name/x", "loop"])
def test_a_root_that_is_no_folder_is_rejected(root: str, source: Path) -> None:
    (source / "loop").symlink_to("loop")
    use_root(source, root)
    with pytest.raises(UserError) as caught:
        build(source)
    assert f"columns.yaml: images.root={root!r}: not a folder: name that of the pictures" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("images: {folder: x}", "unknown key in columns.yaml, images: 'folder': known: root"),
        ("image: {root: x}", "unknown key in columns.yaml: 'image': did you mean 'images'?"),
        ("images: {root: ''}", "images.root=''"),
        ("images: {root: [x]}", "images.root=['x']"),
        ("images: x", "images='x'"),
    ],
)
def test_mistakes_of_the_mapping_are_named(text: str, error: str, source: Path) -> None:
    (source / "columns.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        build(source)
    assert error in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["root", "linked"])
def test_a_change_of_the_pictures_elsewhere_is_noticed(where: str, source: Path, tmp_path: Path) -> None:
    add(tmp_path / "disk", "p0.jpg")
    (source / "pictures").symlink_to(tmp_path / "disk")
    use_root(source, tmp_path / "disk" if where == "root" else "pictures")
    home = Home(tmp_path / "home")
    first = prepare("tables", source, home)
    assert prepare("tables", source, home) == first
    add(tmp_path / "disk", "p1.jpg")
    second = prepare("tables", source, home)
    assert second != first
    assert [len(found(Dataset.load(folder))) for folder in (first, second)] == [1, 2]
