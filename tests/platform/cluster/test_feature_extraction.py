"""Ray Data extracts image features: the same as a plain loop, once, with a reason for every image that fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import ray.data
from support.damaged_shop import write_damaged_shop
from support.raw import with_further_pictures
from vip5platform.cli.vip5 import main as vip5
from vip5platform.cluster.feature_extraction import extract
from vip5platform.cluster.resources import ClusterResources

from vip5core.data.dataset import Dataset, write_table
from vip5core.data.feature_choice import FeatureChoice
from vip5core.data.feature_store import NO_IMAGE, FeatureStore, store_fingerprint, unreadable_images
from vip5core.data.sources import prepare
from vip5core.encoders import EncoderChoice, Preparation, load_encoder, open_image
from vip5core.errors import UserError
from vip5core.fingerprint import sha256_bytes
from vip5core.home import Home
from vip5core.vocabulary import ENCODERS

pytestmark = pytest.mark.slow

CHOICES = [FeatureChoice(EncoderChoice("RN50", "tiny")), FeatureChoice(EncoderChoice("ViT-B/32", "tiny"))]
BROKEN = {3: b"", 5: b"not an image", 7: None}  # item: what its file holds; None: half of it


def damaged(shop: Dataset, folder: Path) -> Dataset:
    """The shop as it is prepared from a source with three bad images."""
    shutil.copytree(shop.folder, folder)
    items = shop.items.copy()
    for item, content in BROKEN.items():
        path = folder / items["image"][item - 1]
        data = path.read_bytes()[:150] if content is None else content
        path.write_bytes(data)
        items.loc[item - 1, "image_sha256"] = sha256_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"]["items"] = write_table(items, "items", folder)
    manifest["images"] = "with three bad images"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Dataset.load(folder)


def test_extraction_by_ray_data(shop: Dataset, tmp_path: Path, ray_two_cpus: ClusterResources, monkeypatch):
    broken = damaged(shop, tmp_path / "shop")
    home = Home(tmp_path / "home")
    seen: list[tuple[int, int]] = []
    stores = extract(broken, CHOICES, home, ray_two_cpus, lambda done, total, news="": seen.append((done, total)))

    # The same features as one plain loop, whatever the batches.
    preprocess = Preparation.of(CHOICES[0].encoder)
    for choice in CHOICES:
        store = FeatureStore.load(stores[choice])
        assert store.features.shape == (shop.n_items + 1, ENCODERS[choice.encoder.name].feature_width)
        good = [item for item in range(1, shop.n_items + 1) if item not in BROKEN]
        pixels = [preprocess(open_image(broken.folder / broken.items["image"][item - 1])) for item in good]
        expected = load_encoder(choice.encoder).encode(np.stack(pixels))
        np.testing.assert_allclose(store.features[good], expected, rtol=1e-4, atol=1e-5)
        # Every image that cannot be used is in the ledger, with its reason, and has no feature.
        reasons = dict(zip(store.ledger["item"], store.ledger["reason"], strict=True))
        assert set(reasons) == set(BROKEN)
        assert reasons[3] == "empty file"
        assert reasons[5] == "not an image"
        assert reasons[7].startswith("damaged")
        assert not store.features[list(BROKEN)].any()
        assert not store.has_image[list(BROKEN)].any()
    assert seen[-1] == (shop.n_items, shop.n_items)

    # A store is there: nothing is computed.
    files = {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file()}
    assert extract(broken, CHOICES, home, ray_two_cpus, pytest.fail) == stores
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file()} == files

    # The store is gone, its shards are not: it is put together again without an encoder.
    shutil.rmtree(stores[CHOICES[0]])
    with monkeypatch.context() as patch:
        patch.setattr(ray.data, "from_items", lambda *a, **k: pytest.fail("encoded again"))
        extract(broken, CHOICES, home, ray_two_cpus)
    assert FeatureStore.load(stores[CHOICES[0]]).has_image.sum() == shop.n_items - len(BROKEN)

    # A cut-off run left some shards: only the rest is encoded, and only by the encoder that lacks it.
    shutil.rmtree(stores[CHOICES[0]])
    shards = sorted(home.shards(CHOICES[0].encoder.fingerprint).glob("*.parquet"))
    shards[0].unlink()
    (shards[0].parent / ".half.part").write_bytes(b"PAR1")
    seen.clear()
    extract(broken, CHOICES, home, ray_two_cpus, lambda done, total, news="": seen.append((done, total)))
    assert 0 < seen[-1][1] <= shop.n_items
    assert FeatureStore.load(stores[CHOICES[0]]).has_image.sum() == shop.n_items - len(BROKEN)

    # An image that is not what the dataset was prepared with is a user's to mend, and no shard remembers it.
    other = tmp_path / "changed"
    shutil.copytree(shop.folder, other)
    (other / shop.items["image"][0]).write_bytes(b"something else")
    with pytest.raises(UserError, match="changed after its dataset was prepared"):
        extract(Dataset.load(other), CHOICES[:1], Home(tmp_path / "home2"), ray_two_cpus)
    assert not list(Home(tmp_path / "home2").features.glob("*/store.json"))

    # Weights that cannot be loaded are told in one line, although an actor finds it out.
    garbage = tmp_path / "RN50.pt"
    garbage.write_bytes(b"these are no weights")
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        extract(shop, [FeatureChoice(EncoderChoice("RN50", str(garbage)))], Home(tmp_path / "home3"), ray_two_cpus)
    assert "\n" not in str(caught.value)


def test_means_over_pictures_share_what_an_encoder_makes_of_each(
    shop: Dataset, tmp_path: Path, ray_two_cpus: ClusterResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(shop.folder, folder)
    pictures: dict[str, dict[str, str]] = {}
    for raw_id, source in zip(shop.items["raw_id"][:3], shop.items["image"][5:8], strict=True):
        data = (folder / source).read_bytes() + b"another file"  # of the same pixels
        (folder / f"images/{raw_id}-2.png").write_bytes(data)
        pictures[raw_id] = {f"images/{raw_id}-2.png": sha256_bytes(data)}
    (folder / "images/broken.png").write_bytes(b"not an image")
    pictures[shop.items["raw_id"][3]] = {"images/broken.png": sha256_bytes(b"not an image")}
    dataset = with_further_pictures(Dataset.load(folder), pictures)
    home, encoder = Home(tmp_path / "home"), CHOICES[0].encoder
    first, mean = FeatureChoice(encoder), FeatureChoice(encoder, "mean")
    seen: list[tuple[int, int]] = []

    def note(done: int, total: int, news: str = "") -> None:
        seen.append((done, total))

    one = extract(dataset, [first], home, ray_two_cpus, note)[first]
    assert seen[-1] == (shop.n_items, shop.n_items)  # further pictures are not encoded unless a choice needs them
    seen.clear()
    stores = extract(dataset, [first, mean], home, ray_two_cpus, note)
    assert seen[-1] == (4, 4)
    assert stores[first] == one != stores[mean]
    singles, means = FeatureStore.load(one), FeatureStore.load(stores[mean])
    both = np.stack([singles.features[1:4], singles.features[6:9]])
    np.testing.assert_allclose(means.features[1:4], both.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(means.features[4:], singles.features[4:])  # a broken second picture is left out
    assert means.has_image[1:].all()
    unreadable, _ = unreadable_images(stores[mean])
    assert unreadable[["item", "reason"]].values.tolist() == [[4, "not an image"]]

    # Where all items have one picture, a mean is the first picture: one store, which is there already.
    with monkeypatch.context() as patch:
        patch.setattr(ray.data, "from_items", lambda *a, **k: pytest.fail("encoded again"))
        other = Home(tmp_path / "other")
        shutil.copytree(home.shards(encoder.fingerprint), other.shards(encoder.fingerprint))
        stores = extract(shop, [first, mean], other, ray_two_cpus)
    assert stores[first] == stores[mean] == other.features / store_fingerprint(shop, encoder.fingerprint)


def test_damaged_pictures_cost_their_items_the_image_and_nothing_else(
    ray_two_cpus: ClusterResources, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A shop of 200 pictures, 40 of which are damaged, each in another way, gets to its features and its sheet."""
    spoilt = write_damaged_shop(tmp_path / "source", tmp_path / "photos")
    home = Home(tmp_path / "home")
    dataset = Dataset.load(prepare("tables", tmp_path / "source", home))
    choice = CHOICES[0]
    store = FeatureStore.load(extract(dataset, [choice], home, ray_two_cpus)[choice])
    without = set(dataset.items.loc[~store.has_image[1:], "raw_id"])
    assert len(spoilt) == 40
    assert without == set(spoilt)
    assert np.abs(store.features[store.has_image]).sum(1).min() > 0
    # What does not begin like a picture was left out when the dataset was prepared, the rest when it was encoded.
    reasons = store.ledger.loc[store.ledger["reason"] != NO_IMAGE, "reason"]
    assert len(reasons) > 30
    assert len({reason.split(":")[0] for reason in reasons}) > 8

    with pytest.raises(SystemExit) as left:
        vip5(["describe", str(dataset.folder)])
    assert left.value.code == 0
    assert "Traceback" not in "".join(capfd.readouterr())
    assert (dataset.folder / "sheet.png").stat().st_size > 10_000
