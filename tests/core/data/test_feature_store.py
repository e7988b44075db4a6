"""From shards to a feature store: one row per item, and a reason for every item without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.raw import raw_histories

from vip5core.data.build import build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import NO_IMAGE, FeatureStore, assemble, known_images, store_fingerprint, write_shard
from vip5core.errors import UserError

WIDTH = 6
ENCODER = {"name": "by hand"}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Items a to f: a and b share an image, c and d have their own, e's is broken, f has none."""
    images = {"a": b"same", "b": b"same", "c": b"c", "d": b"d", "e": b"broken"}
    return Dataset.load(build_dataset(raw_histories({"u": "abcdef"}, image=images), tmp_path / "dataset"))


def feature(digest: str) -> np.ndarray:
    return np.random.default_rng(int(digest[:8], 16)).normal(3.0, 2.0, WIDTH).astype(np.float32)


@pytest.fixture
def store(dataset: Dataset, tmp_path: Path) -> FeatureStore:
    """Assembled from two shards, with an image of another dataset in one of them."""
    digest = dataset.items.set_index("raw_id")["image_sha256"]
    shards = tmp_path / "shards"
    write_shard(shards, [digest["a"], digest["e"]], [feature(digest["a"]), None], [None, "damaged: cut short"])
    foreign = "f" * 64
    write_shard(
        shards,
        [digest["c"], digest["d"], foreign],
        [feature(d) for d in (digest["c"], digest["d"], foreign)],
        [None] * 3,
    )
    return FeatureStore.load(assemble(dataset, ENCODER, shards, tmp_path / "store-1"))


def test_every_item_has_its_images_feature_or_a_reason(dataset: Dataset, store: FeatureStore) -> None:
    assert store.features.shape == (7, WIDTH)
    assert store.features.dtype == np.float32
    assert not store.features[0].any()  # padding
    reasons = dict(zip(store.ledger["item"], store.ledger["reason"], strict=True))
    for row in dataset.items.itertuples():
        if row.raw_id in "abcd":
            np.testing.assert_array_equal(store.features[row.item], feature(row.image_sha256))
            assert row.item not in reasons
            assert store.has_image[row.item]
        else:
            assert not store.features[row.item].any()
            assert reasons[row.item] == {"e": "damaged: cut short", "f": NO_IMAGE}[row.raw_id]
            assert not store.has_image[row.item]
    assert not store.has_image[0]
    assert store.fingerprint == "store-1"


def test_shards_know_their_images_and_are_rewritten_to_the_same_file(tmp_path: Path) -> None:
    assert known_images(tmp_path / "nowhere") == set()
    first = write_shard(tmp_path, ["aa", "bb"], [np.ones(2, np.float32), None], [None, "empty file"])
    content = first.read_bytes()
    assert write_shard(tmp_path, ["aa", "bb"], [np.ones(2, np.float32), None], [None, "empty file"]) == first
    assert first.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    write_shard(tmp_path, ["cc"], [np.ones(2, np.float32)], [None])
    assert known_images(tmp_path) == {"aa", "bb", "cc"}  # an unreadable image is known, too: it is not tried again


def test_standard_scaling_centres_the_images_and_sets_their_scale(store: FeatureStore) -> None:
    scaled = store.scaled("standard")
    seen = scaled[store.has_image]
    np.testing.assert_allclose(seen.mean(0), 0.0, atol=1e-6)
    assert np.mean(seen**2) == pytest.approx(1.0, rel=1e-6)
    assert not scaled[~store.has_image].any()  # items without an image stay at zero
    raw = store.features[store.has_image]
    centred = raw - raw.mean(0)
    ratio = centred / seen  # one number for all: directions are kept
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-4)


def test_raw_scaling_changes_nothing(store: FeatureStore) -> None:
    np.testing.assert_array_equal(store.scaled("raw"), store.features)


def test_a_dataset_without_any_image_has_a_store_of_zeros(tmp_path: Path) -> None:
    dataset = Dataset.load(build_dataset(raw_histories({"u": "abcd"}), tmp_path / "dataset"))
    store = FeatureStore.load(assemble(dataset, ENCODER, tmp_path / "no shards", tmp_path / "store"))
    assert not store.has_image.any()
    assert store.ledger["reason"].tolist() == [NO_IMAGE] * 4
    for scaling in ("standard", "raw"):
        assert not store.scaled(scaling).any()


def test_the_identity_of_a_store_is_the_dataset_and_the_encoder(dataset: Dataset, shop: Dataset) -> None:
    prints = {store_fingerprint(data, encoder) for data in (dataset, shop) for encoder in ("x", "y")}
    assert len(prints) == 4


@pytest.mark.parametrize("name", ["store.json", "features.npy", "ledger.parquet"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_damaged_store_is_rejected_in_one_line(store: FeatureStore, tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / "store-1" / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(UserError, match=r"is not a feature store .*: extract the features again") as caught:
        FeatureStore.load(tmp_path / "store-1")
    assert "\n" not in str(caught.value)
