"""From shards to a feature store: one row per item, and a reason for every item without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.raw import raw_histories, with_further_pictures

from vip5core.data.build import build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import (
    NO_IMAGE,
    FeatureStore,
    assemble,
    known_images,
    store_fingerprint,
    unreadable_images,
    write_shard,
)
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint

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


def test_the_identity_of_a_store_is_the_dataset_the_encoder_and_the_pictures(dataset: Dataset, shop: Dataset) -> None:
    prints = {
        store_fingerprint(data, encoder, which)
        for data in (dataset, shop)
        for encoder in ("x", "y")
        for which in ("first", "mean")
    }
    assert len(prints) == 8
    assert store_fingerprint(shop, "x") == fingerprint(shop.fingerprint, "x")  # as before there was a choice


#: Raw id: its further pictures. One that c has already, one that nobody can read, two, one beside an unreadable one.
FURTHER = {"a": ["c"], "c": ["e"], "d": ["x", "y"], "e": ["x"]}


@pytest.fixture
def several(dataset: Dataset) -> Dataset:
    """The dataset, in which some items have further pictures."""
    digest = {**dataset.items.set_index("raw_id")["image_sha256"], "x": "1" * 64, "y": "2" * 64}
    return with_further_pictures(
        dataset, {raw_id: {f"images/{name}": digest[name] for name in names} for raw_id, names in FURTHER.items()}
    )


def shards_of(dataset: Dataset, folder: Path, parts: int) -> Path:
    """Shards of all pictures, so many files; that of item e cannot be read."""
    broken = dataset.items.set_index("raw_id").loc["e", "image_sha256"]
    hashes = sorted(set(dataset.pictures("mean")["image_sha256"]))
    for part in range(parts):
        some = hashes[part::parts]
        write_shard(
            folder,
            some,
            [None if digest == broken else feature(digest) for digest in some],
            ["damaged" if digest == broken else None for digest in some],
        )
    return folder


def test_a_mean_is_over_the_pictures_that_can_be_read(several: Dataset, tmp_path: Path) -> None:
    shards = shards_of(several, tmp_path / "shards", 2)
    folder = assemble(several, ENCODER, shards, tmp_path / "mean", "mean")
    store = FeatureStore.load(folder)
    row = several.items.set_index("raw_id")
    broken = row.loc["e", "image_sha256"]
    for raw_id in "abcde":
        own = [row.loc[raw_id, "image_sha256"], *row.loc[raw_id, "further_sha256"]]
        read = [feature(digest) for digest in own if digest != broken]
        expected = np.mean(np.array(read, np.float64), axis=0).astype(np.float32)
        np.testing.assert_array_equal(store.features[row.loc[raw_id, "item"]], expected)
        assert store.has_image[row.loc[raw_id, "item"]]  # that of e, too: by its second picture
    assert store.ledger.values.tolist() == [[row.loc["f", "item"], NO_IMAGE]]
    unreadable, listed = unreadable_images(folder)
    assert listed.parent == folder
    assert sorted(zip(unreadable["item"], unreadable["image_sha256"], unreadable["reason"], strict=True)) == sorted(
        (row.loc[raw_id, "item"], broken, "damaged") for raw_id in "ce"
    )
    other = assemble(several, ENCODER, shards_of(several, tmp_path / "others", 4), tmp_path / "again", "mean")
    assert (other / "features.npy").read_bytes() == (folder / "features.npy").read_bytes()


def test_the_first_picture_alone_counts_unless_a_mean_is_asked_for(several: Dataset, tmp_path: Path) -> None:
    folder = assemble(several, ENCODER, shards_of(several, tmp_path / "shards", 1), tmp_path / "first")
    store = FeatureStore.load(folder)
    row = several.items.set_index("raw_id")
    for raw_id in "abcd":
        np.testing.assert_array_equal(store.features[row.loc[raw_id, "item"]], feature(row.loc[raw_id, "image_sha256"]))
    assert not store.has_image[row.loc["e", "item"]]
    unreadable, listed = unreadable_images(folder)
    assert (unreadable["item"].tolist(), listed) == ([row.loc["e", "item"]], folder / "ledger.parquet")


def test_an_item_none_of_whose_pictures_can_be_read_has_no_feature(dataset: Dataset, tmp_path: Path) -> None:
    row = dataset.items.set_index("raw_id")
    broken = {"images/1": "1" * 64}
    damaged = with_further_pictures(dataset, {"e": broken})
    hashes = sorted(set(damaged.pictures("mean")["image_sha256"]))
    bad = {row.loc["e", "image_sha256"]: "first reason", "1" * 64: "second reason"}
    write_shard(
        tmp_path / "shards",
        hashes,
        [None if digest in bad else feature(digest) for digest in hashes],
        [bad.get(digest) for digest in hashes],
    )
    store = FeatureStore.load(assemble(damaged, ENCODER, tmp_path / "shards", tmp_path / "mean", "mean"))
    reasons = dict(zip(store.ledger["item"], store.ledger["reason"], strict=True))
    assert reasons == {row.loc["e", "item"]: "first reason", row.loc["f", "item"]: NO_IMAGE}
    assert not store.features[row.loc["e", "item"]].any()


def test_further_pictures_that_the_shards_lack_are_told(several: Dataset, tmp_path: Path) -> None:
    hashes = several.pictures("first")["image_sha256"].drop_duplicates().tolist()
    write_shard(tmp_path / "shards", hashes, [feature(digest) for digest in hashes], [None] * len(hashes))
    with pytest.raises(UserError, match="lacks the features of 2 items"):  # d and e
        assemble(several, ENCODER, tmp_path / "shards", tmp_path / "mean", "mean")
    assert not (tmp_path / "mean").exists()


@pytest.mark.slow
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
