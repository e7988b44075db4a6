"""Image features on disk, on two levels.

*Shards* hold an encoder's features by the content of the images: each is computed once, for any number of datasets. A
*FeatureStore* is what a trial reads: one row per item of one dataset.

    shards/{name}.parquet   image_sha256, feature (or null), reason (or null); named by a hash over its images
    features.npy            [items + 1, width] float32, row 0 is padding, zeros where there is no feature
    ledger.parquet          item, reason: every item without a feature
    unreadable.parquet      item, image_sha256, reason: every picture that a mean over an item's pictures lacks; only in
                            stores of such means
    store.json              the dataset and the encoder that it was made from, and which pictures of an item
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint
from vip5core.storage import atomic_file, atomic_folder
from vip5core.vocabulary import ItemImages

_SHARD_SCHEMA = pa.schema([("image_sha256", pa.string()), ("feature", pa.list_(pa.float32())), ("reason", pa.string())])
NO_IMAGE = "no image"
_UNREADABLE = "unreadable.parquet"


def write_shard(folder: Path, hashes: list[str], features: list[np.ndarray | None], reasons: list[str | None]) -> Path:
    """Add images to an encoder's shards, each with its feature or the reason why there is none.

    Writing the same images again, as a retried task does, gives the same file.
    """
    path = folder / f"{fingerprint(sorted(hashes))}.parquet"
    table = pa.table({"image_sha256": hashes, "feature": features, "reason": reasons}, schema=_SHARD_SCHEMA)
    with atomic_file(path) as aside:
        pq.write_table(table, aside)
    return path


def known_images(folder: Path) -> set[str]:
    """The sha256 of every image in an encoder's shards."""
    known: set[str] = set()
    for path in sorted(folder.glob("*.parquet")):
        known.update(pq.read_table(path, columns=["image_sha256"])["image_sha256"].to_pylist())
    return known


def assemble(
    dataset: Dataset, encoder: dict[str, str], shards: Path, out: Path, item_images: ItemImages = "first"
) -> Path:
    """Assemble the feature store of `dataset` from shards that contain all its images.

    The width of its features is that of those in the shards; 1 if there is none, because no image can be read. Means
    are taken in float64, over an item's pictures that can be read; the sums of items with several are held in memory.

    Args:
        dataset: the dataset.
        encoder: the encoder that made the shards (name, weights, fingerprint), for the record.
        shards: the folder of the encoder's shards.
        out: the folder of the store, which appears complete or not at all.
        item_images: the first picture of each item, or the mean over its pictures.

    Raises:
        UserError: if an image is missing from the shards.
    """
    pictures = dataset.pictures(item_images)
    items_of: dict[str, list[int]] = {}
    for item, digest in zip(pictures["item"].tolist(), pictures["image_sha256"].tolist(), strict=True):
        items_of.setdefault(digest, []).append(item)
    amounts = pictures["item"].value_counts()
    several = {item: place for place, item in enumerate(amounts.index[amounts > 1].tolist())}
    missing, unreadable = set(items_of), {}
    with atomic_folder(out) as folder:
        paths = sorted(shards.glob("*.parquet"))
        features = create_features(folder, dataset.n_items, _width(paths))
        sums, counts = np.zeros((len(several), features.shape[1])), np.zeros(len(several), int)
        for path in paths:
            for row in pq.read_table(path).to_pylist():
                digest = row["image_sha256"]
                if digest not in missing:
                    continue
                missing.discard(digest)
                if row["feature"] is None:
                    unreadable[digest] = row["reason"]
                    continue
                for item in items_of[digest]:
                    if item in several:
                        sums[several[item]] += row["feature"]
                        counts[several[item]] += 1
                    else:
                        features[item] = row["feature"]
        if missing:
            lacking = {item for digest in missing for item in items_of[digest]}
            raise UserError(
                f"{str(shards)!r} lacks the features of {len(lacking)} items (item {min(lacking)}, …): --home must be "
                "a folder that all nodes share"
            )
        for item, place in several.items():
            features[item] = sums[place] / max(counts[place], 1)
        damaged = pictures.loc[pictures["image_sha256"].isin(unreadable), ["item", "image_sha256"]]
        damaged["reason"] = damaged["image_sha256"].map(unreadable)
        if item_images != "first":
            damaged.astype({"item": "int32"}).to_parquet(folder / _UNREADABLE, index=False)
        reason_of = {item: NO_IMAGE for item in dataset.items["item"].tolist() if item not in amounts.index}
        for item, reasons in damaged.groupby("item")["reason"]:
            if len(reasons) == amounts[item]:
                reason_of[item] = reasons.iloc[0]
        record: dict[str, object] = {"dataset": dataset.fingerprint, "encoder": encoder, "item_images": item_images}
        finish_store(folder, features, reason_of, record, out.name)
    return out


def unreadable_images(store: Path) -> tuple[pd.DataFrame, Path]:
    """The pictures that could not be read for a store, and the file in which they are listed.

    Returns:
        Rows with item and reason: those of items without a feature, or, for a mean over an item's pictures, all.
    """
    if (store / _UNREADABLE).is_file():
        return pd.read_parquet(store / _UNREADABLE), store / _UNREADABLE
    ledger = FeatureStore.load(store).ledger
    return ledger[ledger["reason"] != NO_IMAGE], store / "ledger.parquet"


def _width(shards: list[Path]) -> int:
    """The number of entries of the first feature in the shards; 1 if there is none."""
    columns = (pq.read_table(path, columns=["feature"])["feature"] for path in shards)
    return next((len(row) for column in columns for row in column if row.is_valid), 1)


def create_features(folder: Path, n_items: int, width: int) -> np.memmap:
    """Create the zeroed features of a new store. Shape: [items + 1, width], float32."""
    features: np.memmap = np.lib.format.open_memmap(
        folder / "features.npy", mode="w+", dtype=np.float32, shape=(n_items + 1, width)
    )
    return features


def finish_store(
    folder: Path, features: np.memmap, reason_of: dict[int, str], made_of: dict[str, object], identity: str
) -> None:
    """Write the rest of a store: its ledger and its record."""
    features.flush()
    ledger = pd.DataFrame({"item": list(reason_of), "reason": list(reason_of.values())})
    ledger.astype({"item": "int32"}).to_parquet(folder / "ledger.parquet", index=False)
    record = {**made_of, "fingerprint": identity}
    (folder / "store.json").write_text(json.dumps(record, indent=2), "utf-8")


def store_fingerprint(dataset: Dataset, encoder_fingerprint: str, item_images: ItemImages = "first") -> str:
    """The identity of a dataset's features under an encoder, of the first picture of each item or over all."""
    further = () if item_images == "first" else (item_images,)
    return fingerprint(dataset.fingerprint, encoder_fingerprint, *further)


@dataclass(frozen=True)
class FeatureStore:
    """The features of one dataset under one encoder, memory-mapped.

    Attributes:
        features: the features by item number; row 0 is padding. Shape: [items + 1, width], float32.
        ledger: every item without a feature, with the reason.
        fingerprint: the identity of the content.
    """

    features: np.ndarray
    ledger: pd.DataFrame
    fingerprint: str

    @classmethod
    def load(cls, folder: Path) -> FeatureStore:
        """Raises: UserError if `folder` is not a feature store."""
        try:
            record = json.loads((folder / "store.json").read_text("utf-8"))
            features = np.load(folder / "features.npy", mmap_mode="r")
            ledger = pd.read_parquet(folder / "ledger.parquet")
        except (OSError, ValueError) as error:
            raise UserError(f"{str(folder)!r} is not a feature store ({error}): extract the features again") from None
        return cls(features, ledger, record["fingerprint"])

    @functools.cached_property
    def has_image(self) -> np.ndarray:
        """Which items have a feature. Shape: [items + 1], bool; entry 0 is False."""
        mask = np.ones(len(self.features), dtype=bool)
        mask[0] = False
        mask[self.ledger["item"].to_numpy()] = False
        return mask

    def scaled(self, scaling: str) -> np.ndarray:
        """The features as input of the mapping network. Shape: [items + 1, width].

        `standard`: centred on the dataset's mean feature, and divided by one number so that the mean square of an entry
        is 1. Encoders' features differ in scale by a factor of ten and have a large common component; without this, an
        encoder study would compare scales, too. `raw`: unchanged, as in the official code.
        """
        features = np.array(self.features)
        if scaling == "standard" and self.has_image.any():
            seen = features[self.has_image]
            seen = seen - seen.mean(0)
            features[self.has_image] = seen / max(float(np.sqrt(np.mean(seen**2))), 1e-12)
        return features
