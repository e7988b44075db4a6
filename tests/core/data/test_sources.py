"""A name becomes a prepared folder, once; wrong requests are rejected."""

from __future__ import annotations

from pathlib import Path

import pytest

from vip5core.data import sources
from vip5core.data.build import BuildOptions
from vip5core.data.dataset import Dataset
from vip5core.data.sources import prepare
from vip5core.errors import UserError
from vip5core.home import Home


def refusal(dataset: str, source: Path | None, home: Home) -> str:
    with pytest.raises(UserError) as caught:
        prepare(dataset, source, home)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_a_second_request_finds_the_first_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare("minimart:25", None, Home(tmp_path))
    assert Dataset.load(first).n_users == 25
    seeded = prepare("minimart:25", None, Home(tmp_path), BuildOptions(seed=1))
    assert seeded != first

    def built_again(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(sources, "build_dataset", built_again)
    assert prepare("minimart:25", None, Home(tmp_path)) == first
    assert prepare("minimart:25", None, Home(tmp_path), BuildOptions(seed=1)) == seeded
    assert prepare(str(first), None, Home(tmp_path)) == first
    with pytest.raises(AssertionError, match="built again"):
        prepare("minimart:26", None, Home(tmp_path))


def test_a_changed_source_is_prepared_again(tmp_path: Path) -> None:
    source = tmp_path / "raw"
    source.mkdir()
    (source / "u.genre").write_text("Drama|0\n")
    (source / "u.item").write_text("".join(f"{n}|Film {n}|||x|1\n" for n in range(1, 6)))
    (source / "u.data").write_text("".join(f"1\t{n}\t5\t{n}\n" for n in range(1, 5)))
    first = prepare("movielens-100k", source, Home(tmp_path))
    assert prepare("movielens-100k", source, Home(tmp_path)) == first
    (source / "u.data").write_text("".join(f"1\t{n}\t5\t{n}\n" for n in range(1, 6)))
    second = prepare("movielens-100k", source, Home(tmp_path))
    assert second != first
    assert (Dataset.load(first).n_items, Dataset.load(second).n_items) == (4, 5)


def test_a_change_in_a_linked_folder_of_pictures_is_noticed(tmp_path: Path) -> None:
    source, disk = tmp_path / "raw", tmp_path / "disk"
    source.mkdir()
    disk.mkdir()
    (source / "posters").symlink_to(disk)
    (source / "loop").symlink_to(source)
    (source / "u.genre").write_text("Drama|0\n")
    (source / "u.item").write_text("".join(f"{n}|Film {n}|||x|1\n" for n in range(1, 6)))
    (source / "u.data").write_text("".join(f"1\t{n}\t5\t{n}\n" for n in range(1, 6)))
    first = prepare("movielens-100k", source, Home(tmp_path))
    assert prepare("movielens-100k", source, Home(tmp_path)) == first
    (disk / "3.JPG").write_bytes(b"a poster")
    second = prepare("movielens-100k", source, Home(tmp_path))
    assert [Dataset.load(folder).items["image"].notna().sum() for folder in (first, second)] == [0, 1]


@pytest.mark.parametrize("size", ["0", "-3", "x", "1.5", "²"])
def test_an_invalid_number_of_users_is_rejected(size: str, tmp_path: Path) -> None:
    assert "positive number of users" in refusal(f"minimart:{size}", None, Home(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("minimart:25:", "the shop's seed"),
        ("minimart:25:x", "the shop's seed"),
        ("minimart:25:-1", "the shop's seed"),
        ("minimart:25:1.5", "the shop's seed"),
        ("minimart:25:²", "the shop's seed"),
        ("minimart:25:4294967296", "from 0 to 4294967295"),
        ("minimart:25:1:2", "the shop's seed"),
        ("minimart::3", "positive number of users"),
        ("minimart:x:3", "positive number of users"),
    ],
)
def test_an_invalid_size_or_seed_is_rejected(name: str, says: str, tmp_path: Path) -> None:
    message = refusal(name, None, Home(tmp_path))
    assert repr(name) in message
    assert says in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_shop_is_known_by_its_size_and_seed(tmp_path: Path) -> None:
    third = Dataset.load(prepare("minimart:25:3", None, Home(tmp_path)))
    assert third.manifest.source == {"name": "minimart", "users": "25", "seed": "3"}
    first = Dataset.load(prepare("minimart:25:0", None, Home(tmp_path)))
    assert (
        first.fingerprint == Dataset.load(prepare("minimart:25", None, Home(tmp_path))).fingerprint != third.fingerprint
    )
    renumbered = Dataset.load(prepare("minimart:25:3", None, Home(tmp_path), BuildOptions(seed=1)))
    assert renumbered.manifest.source == third.manifest.source
    assert sorted(renumbered.users["name"]) == sorted(third.users["name"])
    assert renumbered.manifest.tables != third.manifest.tables


def test_an_unknown_name_is_rejected_with_the_nearest_one(tmp_path: Path) -> None:
    assert "unknown dataset 'minimrat': did you mean 'minimart'?" in refusal("minimrat", None, Home(tmp_path))
    assert "did you mean 'movielens-100k'?" in refusal("movielens-100", None, Home(tmp_path))


def test_a_source_that_is_missing_empty_or_superfluous_is_rejected(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    home = Home(tmp_path / "home")
    assert "needs --source" in refusal("movielens-100k", None, home)
    assert "is not a folder" in refusal("movielens-100k", tmp_path / "nowhere", home)
    assert "is empty" in refusal("movielens-100k", empty, home)
    assert "has no parts or sizes" in refusal("movielens-100k:5", empty.parent, home)


@pytest.mark.slow
def test_a_home_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert "cannot be written" in refusal("minimart:20", None, Home(tmp_path / "file" / "home"))


def test_what_is_made_of_a_source_is_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user,item\n" + "".join(f"u,{item}\n" for item in "abcdef"))
    first = prepare("tables", tmp_path, Home(tmp_path / "runs"))
    assert prepare("tables", tmp_path, Home(tmp_path / "runs")) == first
