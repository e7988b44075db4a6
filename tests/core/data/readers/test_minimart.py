"""minimart: the same shop for the same seed, and its ground truth is in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.leak import measure_leak
from vip5core.data.raw import Provided
from vip5core.data.readers.minimart.images import COLOURS, PATTERNS, SHAPES
from vip5core.data.readers.minimart.reader import KINDS, MATERIALS, generate_shop
from vip5core.encoders import open_image
from vip5core.errors import UserError

LOOKS = {"colours": ("colour", tuple(COLOURS)), "patterns": ("pattern", PATTERNS), "shapes": ("shape", SHAPES)}


@pytest.fixture(scope="module")
def truth(shop: Dataset) -> dict[str, pd.DataFrame]:
    """What was planted, by the dataset's own numbers."""
    return {
        name: pd.read_parquet(shop.folder / "truth" / f"{name}.parquet").set_index("id").sort_index()
        for name in ("items", "users")
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_shop(shop: Dataset, tmp_path: Path) -> None:
    again = build_dataset(generate_shop(40), tmp_path / "again")
    assert contents(again) == contents(shop.folder)
    other = Dataset.load(build_dataset(generate_shop(40, seed=1), tmp_path / "other"))
    assert other.fingerprint != shop.fingerprint


def test_explanations_agree_with_the_true_look(shop: Dataset, truth: dict[str, pd.DataFrame]) -> None:
    explanations = shop.explanations.join(truth["items"], on="item")
    for aspect, words in (("colour", tuple(COLOURS)), ("pattern", PATTERNS), ("material", MATERIALS)):
        rows = explanations[explanations["aspect"] == aspect]
        assert len(rows) > 10
        for row in rows.itertuples():
            assert [word for word in row.explanation.split() if word in words] == [getattr(row, aspect)]
    shapes = explanations[explanations["aspect"] == "shape"]
    assert all(row.shape in row.explanation.split() for row in shapes.itertuples())
    uses = explanations[explanations["aspect"] == "use"]
    assert all(KINDS[row.kind] in row.explanation.split() for row in uses.itertuples())


def test_titles_and_categories_never_say_the_look(shop: Dataset) -> None:
    looks = {word for _, words in LOOKS.values() for word in words}
    texts = [*shop.items["title"], *shop.items["description"], *(" ".join(names) for names in shop.items["categories"])]
    assert not looks & set(" ".join(texts).lower().split())


def test_the_image_shows_the_colour(shop: Dataset, truth: dict[str, pd.DataFrame]) -> None:
    """The ink's mean colour, without the bright ground, is nearest to the planted one far above chance (1 in 8)."""
    inks = np.array(list(COLOURS.values()), dtype=float)
    right = 0
    for row in shop.items.itertuples():
        pixels = np.asarray(open_image(shop.folder / row.image), dtype=float).reshape(-1, 3)
        darkest = pixels[np.argsort(pixels.min(1))[: len(pixels) // 10]]
        nearest = np.linalg.norm(inks - darkest.mean(0), axis=1).argmin()
        right += list(COLOURS)[nearest] == truth["items"].loc[row.item, "colour"]
    assert right / shop.n_items > 0.7


def test_users_buy_what_looks_the_way_they_like(shop: Dataset, truth: dict[str, pd.DataFrame]) -> None:
    """Liked parts of the look in what was bought, against a shop in which users take anything."""
    items, users = truth["items"], truth["users"]
    liked = np.zeros((shop.n_users, shop.n_items))
    for many, (one, _) in LOOKS.items():
        liked += np.array([[value in likes for value in items[one]] for likes in users[many]])
    bought = liked[shop.interactions["user"] - 1, shop.interactions["item"] - 1].mean()
    assert bought > 1.5 * liked.mean()
    ratings = shop.interactions.assign(liked=liked[shop.interactions["user"] - 1, shop.interactions["item"] - 1])
    assert ratings["rating"].corr(ratings["liked"]) > 0.3


def test_kinds_follow_each_other_around_the_ring(shop: Dataset, truth: dict[str, pd.DataFrame]) -> None:
    kind = truth["items"]["kind"].map(list(KINDS).index).to_numpy()
    steps = np.concatenate([np.diff(kind[shop.history(user) - 1]) % len(KINDS) for user in range(1, shop.n_users + 1)])
    assert (steps == 1).mean() > 1.5 / len(KINDS)


def test_nobody_buys_twice(shop: Dataset) -> None:
    assert not shop.interactions.duplicated(["user", "item"]).any()


@pytest.mark.parametrize("users", [-5, 0, 1, 19])
def test_a_shop_too_small_to_split_is_rejected(users: int) -> None:
    with pytest.raises(UserError, match=rf"minimart:{users}: .*20"):
        generate_shop(users)


@pytest.mark.slow
def test_the_smallest_shop_is_one(tmp_path: Path) -> None:
    counts = Dataset.load(build_dataset(generate_shop(20), tmp_path / "out")).manifest.counts
    assert counts["users"] == 20
    assert 50 <= counts["items"] == counts["items_with_image"] <= 60  # what nobody bought is not offered


@pytest.mark.slow
def test_provided_ids_run_along_whole_histories_and_leak(tmp_path: Path) -> None:
    raw = generate_shop(600)
    provided, random = (
        Dataset.load(build_dataset(raw, tmp_path / scheme, BuildOptions(id_scheme=scheme)))
        for scheme in ("provided", "random")
    )
    assert provided.manifest.ids_leak
    assert not random.manifest.ids_leak
    bought = np.concatenate([provided.history(user) for user in range(1, provided.n_users + 1)])
    assert pd.unique(bought).tolist() == list(range(1, provided.n_items + 1))
    assert measure_leak(provided).ndcg > 2 * measure_leak(random).ndcg


@pytest.mark.slow
def test_provided_ids_change_nothing_unless_chosen(tmp_path: Path) -> None:
    raw = generate_shop(40)
    with_ids = build_dataset(raw, tmp_path / "with")
    without = build_dataset(dataclasses.replace(generate_shop(40), provided=Provided()), tmp_path / "without")
    assert raw.provided.item_ids
    assert contents(with_ids) == contents(without)
