"""The summary statistics of a dataset are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from support.raw import raw_histories, with_further_pictures

from vip5core.data.build import build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.describe import Ascent, describe
from vip5core.data.images.sheet import draw_sheet, sample_items
from vip5core.errors import UserError

HISTORIES = {"u": ["a", "b", "c", "d"], "v": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    explanations = [
        ("u", "a", 5.0, "so good", "fit", "the fit is great", None),
        ("v", "b", 4.0, "", "fit", "nice fit", None),
    ]
    raw = raw_histories(HISTORIES, explanations, title={"a": ""}, image_urls={"b": ["http://images.example/b.jpg"]})
    raw.has_times = False
    return Dataset.load(build_dataset(raw, tmp_path / "out"))


def test_the_figures_are_those_of_the_tables(dataset: Dataset) -> None:
    found = describe(dataset)
    assert (found.users, found.items, found.interactions) == (2, 11, 15)
    assert found.density == pytest.approx(15 / 22)
    assert found.history_lengths == (7.5, 7.5, 11)
    assert [(name, count) for name, count in found.length_classes if count] == [("up to 4", 1), ("11 to 15", 1)]
    assert (found.first, found.last) == (None, None)  # times are places in the history
    assert (found.with_image, found.with_description) == (0, 0)
    assert found.with_title == pytest.approx(10 / 11)
    assert found.with_url == pytest.approx(1 / 11)
    assert found.with_explanation == pytest.approx(2 / 15)
    assert (sum(found.explanations.values()), found.explanation_words, found.aspects) == (2, 3.0, (1, ["fit"]))


def test_further_pictures_are_counted(tmp_path: Path) -> None:
    urls = {"a": ["http://x/1.jpg", "http://x/2.jpg"], "b": ["http://x/3.jpg", "http://x/3s.jpg"]}
    raw = raw_histories(HISTORIES, image={"c": b"c"}, image_urls=urls, url_pictures={"a": [0, 1], "b": [0, 0]})
    dataset = Dataset.load(build_dataset(raw, tmp_path / "out"))
    found = describe(dataset)
    assert (found.with_further, found.with_further_url) == (0, 1)
    found = describe(with_further_pictures(dataset, {"c": {"images/c-2.png": "1" * 64}}))
    assert (found.with_further, found.with_further_url) == (1, 1)


def test_every_user_is_in_one_class_of_lengths(shop: Dataset) -> None:
    assert sum(count for _, count in describe(shop).length_classes) == shop.n_users


def test_ties_and_dates_are_described(tmp_path: Path) -> None:
    raw = raw_histories({"u": ["a", "b", "c", "d"], "v": ["a", "b", "c", "d"]})
    raw.interactions["timestamp"] = [1_400_000_000, 1_400_086_400, 1_400_172_800, 1_400_172_800] + [
        1_400_000_000 + n for n in range(4)
    ]
    dataset = Dataset.load(build_dataset(raw, tmp_path / "out"))
    found = describe(dataset)
    assert found.tied_pairs == Ascent(1, 1)
    assert found.tied_ends == Ascent(1, 1, 1.0)
    assert [held_out.tied for held_out in dataset.manifest.held_out_splits.values()] == [1, 1]
    assert (found.first, found.last) == ("2014-05-13", "2014-05-15")


def test_an_order_that_follows_the_ids_is_found() -> None:
    assert Ascent.tested(292, 254).p_value < 1e-38
    assert Ascent.tested(4, 4).p_value == pytest.approx(2 / 16)
    assert Ascent.tested(10, 5).p_value == Ascent.tested(0, 0).p_value == 1.0


@pytest.mark.slow
def test_the_sheet_shows_items_with_images_first(shop: Dataset, tmp_path: Path) -> None:
    sheet = Image.open(draw_sheet(shop, tmp_path / "sheet.png"))
    assert sheet.width > 1000
    assert len(sheet.convert("RGB").getcolors(1 << 24) or []) > 20
    lacking = shop.items.copy()
    lacking.loc[lacking.index[5:], ["image", "image_sha256"]] = None
    some = Dataset(
        shop.folder, shop.manifest, lacking, shop.users, shop.interactions, shop.explanations, shop.candidate_lists
    )
    assert set(sample_items(some, 8)["item"].head(5)) == {1, 2, 3, 4, 5}
    draw_sheet(some, tmp_path / "holes.png")


def test_a_sheet_that_cannot_be_written_is_a_user_error(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        draw_sheet(dataset, tmp_path / "file" / "sheet.png")
