"""Pictures named by an item's id are found by any ending; what is unclear or unused is counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vip5core.data.raw import DropLedger
from vip5core.data.readers.image_files import PictureFolder
from vip5core.errors import UserError
from vip5core.picture_formats import ENDINGS, FORMATS


def folder_of(tmp_path: Path, *names: str) -> PictureFolder:
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    return PictureFolder(tmp_path)


def found(pictures: PictureFolder, raw_id: str, ledger: DropLedger | None = None) -> str | None:
    path = pictures.find(raw_id, ledger or DropLedger())
    return None if path is None else path.read_text()


def told(ledger: DropLedger) -> dict[str, tuple[int, list[str]]]:
    return {drop.reason: (drop.count, drop.examples) for drop in ledger.drops()}


def test_no_ending_stands_for_two_formats() -> None:
    assert len(set(ENDINGS)) == len(ENDINGS)
    assert all(ending == ending.lower() and ending.startswith(".") for ending in ENDINGS)
    assert {form.endings[0] for form in FORMATS} >= {".jpg", ".png", ".webp", ".gif", ".avif", ".tif", ".bmp", ".jp2"}


@pytest.mark.parametrize("name", ["7.jpg", "7.JPG", "7.Jpeg", "7.webp", "7.AVIF", "7.tiff", "7.gif", "7.PNG"])
def test_an_ending_may_be_any_in_either_case(name: str, tmp_path: Path) -> None:
    assert found(folder_of(tmp_path, name, "8.jpg", "7.txt", "70.jpg"), "7") == name


def test_ids_are_compared_as_they_are(tmp_path: Path) -> None:
    pictures = folder_of(tmp_path, "a.jpg", "B.JPG", "1.5.png", "007.jpg")
    assert [found(pictures, raw_id) for raw_id in ("A", "b", "1", "7", "../a", "")] == [None] * 6
    assert [found(pictures, raw_id) for raw_id in ("a", "B", "1.5")] == ["a.jpg", "B.JPG", "1.5.png"]


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["1.png", "1.jpg"], "1.jpg"),
        (["1.JPG", "1.png"], "1.JPG"),
        (["1.JPG", "1.jpg"], "1.jpg"),
        (["1.Jpg", "1.JPG"], "1.JPG"),
        (["1.jpeg", "1.JPG"], "1.JPG"),
        (["1.bmp", "1.avif", "1.webp"], "1.webp"),
    ],
)
def test_of_several_files_the_rule_chooses_one_and_the_ledger_tells(
    names: list[str], first: str, tmp_path: Path
) -> None:
    ledger = DropLedger()
    pictures = folder_of(tmp_path, *names)
    if len(list(tmp_path.iterdir())) < len(names):
        pytest.skip("names differ in case alone, and this disk does not tell them apart")
    assert found(pictures, "1", ledger) == first
    ((count, (example,)),) = told(ledger).values()
    assert count == 1
    assert example.startswith(f"{first}, not ")
    assert all(name in example for name in names)


def test_what_lies_unused_is_counted_with_examples(tmp_path: Path) -> None:
    ledger = DropLedger()
    pictures = folder_of(tmp_path, "1.jpg", "2.JPG", "2.png", "3.gif", "4.heic", "notes.txt", "Thumbs.db")
    (tmp_path / "below.jpg").mkdir()
    for raw_id in ("1", "2", "4", "9"):
        pictures.find(raw_id, ledger)
    pictures.add_unused(ledger)
    assert told(ledger) == {
        "several of one name: one is taken": (1, ["2.JPG, not 2.png"]),
        "lies unused: no item that is kept has it": (2, ["2.png", "3.gif"]),
        "of a format that is not read: convert it to .jpg": (1, ["4.heic"]),
    }


def test_pictures_may_be_links_and_broken_ones_are_passed_over(tmp_path: Path) -> None:
    disk, posters = tmp_path / "disk", tmp_path / "posters"
    disk.mkdir()
    posters.mkdir()
    (disk / "x").write_text("linked")
    (posters / "1.JPG").symlink_to(disk / "x")
    (posters / "2.jpg").symlink_to(disk / "gone")
    (posters / "3.jpg").symlink_to(posters / "3.jpg")
    (tmp_path / "link").symlink_to(posters)
    pictures = PictureFolder(tmp_path / "link")
    assert [found(pictures, raw_id) for raw_id in ("1", "2", "3")] == ["linked", None, None]


def test_without_a_folder_there_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert found(PictureFolder(tmp_path / "none"), "1") is None
    assert found(PictureFolder(tmp_path / "file"), "1") is None


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\): make it readable"):
        PictureFolder(tmp_path)
