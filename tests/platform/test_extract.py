"""Ray Data extracts image features: the same as a plain loop, once, with a reason for every picture that fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from vip5platform import extract as extraction
from vip5platform.extract import extract
from vip5platform.session import Resources

from vip5core.data import Dataset
from vip5core.encoders import EncoderChoice, Preparation, load_encoder, open_image
from vip5core.features import FeatureStore

pytestmark = pytest.mark.slow

CHOICES = [EncoderChoice("RN50", "tiny"), EncoderChoice("ViT-B/32", "tiny")]
BROKEN = {3: b"", 5: b"not a picture", 7: None}  # item: what its file holds; None: half of it


def damaged(shop: Dataset, folder: Path) -> Dataset:
    """The shop with three pictures that went bad after it was prepared."""
    shutil.copytree(shop.folder, folder)
    for item, content in BROKEN.items():
        path = folder / shop.items["image"][item - 1]
        path.write_bytes(path.read_bytes()[:150] if content is None else content)
    return Dataset.load(folder)


def test_extraction_by_ray_data(shop: Dataset, tmp_path: Path, ray_two_cpus: Resources, monkeypatch):
    broken = damaged(shop, tmp_path / "shop")
    home = tmp_path / "home"
    seen: list[tuple[int, int]] = []
    stores = extract(broken, CHOICES, home, ray_two_cpus, lambda done, total: seen.append((done, total)))

    # The same features as one plain loop, whatever the batches.
    prepare = Preparation.of(CHOICES[0])
    for choice in CHOICES:
        store = FeatureStore.load(stores[choice.name])
        assert store.features.shape == (shop.n_items + 1, choice.spec.feature_width)
        good = [item for item in range(1, shop.n_items + 1) if item not in BROKEN]
        pixels = [prepare(open_image(broken.folder / broken.items["image"][item - 1])) for item in good]
        expected = load_encoder(choice)(torch.stack(pixels)).numpy()
        np.testing.assert_allclose(store.features[good], expected, rtol=1e-4, atol=1e-5)
        # Every picture that cannot be used is in the ledger, with its reason, and has no feature.
        reasons = dict(zip(store.ledger["item"], store.ledger["reason"], strict=True))
        assert set(reasons) == set(BROKEN)
        assert reasons[3] == "empty file"
        assert reasons[5] == "not an image"
        assert reasons[7].startswith("damaged")
        assert not store.features[list(BROKEN)].any()
        assert not store.has_image[list(BROKEN)].any()
    assert seen[-1] == (shop.n_items, shop.n_items)

    # A store is there: nothing is computed.
    files = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert extract(broken, CHOICES, home, ray_two_cpus, pytest.fail) == stores
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == files

    # The store is gone, its shards are not: it is put together again without an encoder.
    shutil.rmtree(stores["RN50"])
    with monkeypatch.context() as patch:
        patch.setattr(extraction.ray.data, "from_items", lambda *a, **k: pytest.fail("encoded again"))
        extract(broken, CHOICES, home, ray_two_cpus)
    assert FeatureStore.load(stores["RN50"]).has_image.sum() == shop.n_items - len(BROKEN)

    # A cut-off run left some shards: only the rest is encoded, and only by the encoder that lacks it.
    shutil.rmtree(stores["RN50"])
    shards = sorted((home / "features" / "shards" / CHOICES[0].fingerprint).glob("*.parquet"))
    shards[0].unlink()
    (shards[0].parent / ".half.part").write_bytes(b"PAR1")
    seen.clear()
    extract(broken, CHOICES, home, ray_two_cpus, lambda done, total: seen.append((done, total)))
    assert 0 < seen[-1][1] <= shop.n_items
    assert FeatureStore.load(stores["RN50"]).has_image.sum() == shop.n_items - len(BROKEN)
