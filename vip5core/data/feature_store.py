"""Image features on disk.

Two levels. *Shards* hold what an encoder made of images, addressed by the images' bytes: computed once, ever, for
any dataset. A *FeatureStore* is what a trial reads: one row per item of one dataset.

    shards/{name}.parquet   image_sha256, feature (or null), reason (or null); named by a hash of its images' hashes
    features.npy            [items + 1, width] float32, row 0 is padding, zeros where there is no feature
    ledger.parquet          item, reason: every item without a feature
    store.json              what this was made of
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint
from vip5core.storage import atomic_file, atomic_folder

if TYPE_CHECKING:  # the data layer writes the features that a source came with
    from vip5core.data.dataset import Dataset

_SHARD_SCHEMA = pa.schema([("image_sha256", pa.string()), ("feature", pa.list_(pa.float32())), ("reason", pa.string())])
NO_IMAGE = "no image"


def write_shard(folder: Path, hashes: list[str], features: list[np.ndarray | None], reasons: list[str | None]) -> Path:
    """Add images to an encoder's shards: a feature each, or the reason why there is none.

    Writing the same images again, as a retried task does, gives the same file.
    """
    path = folder / f"{fingerprint(sorted(hashes))}.parquet"
    table = pa.table({"image_sha256": hashes, "feature": features, "reason": reasons}, schema=_SHARD_SCHEMA)
    with atomic_file(path) as aside:
        pq.write_table(table, aside)
    return path


def known_images(folder: Path) -> set[str]:
    """sha256 of every image in an encoder's shards."""
    known: set[str] = set()
    for path in sorted(folder.glob("*.parquet")):
        known.update(pq.read_table(path, columns=["image_sha256"])["image_sha256"].to_pylist())
    return known


def assemble(dataset: Dataset, encoder: dict[str, str], width: int, shards: Path, out: Path) -> Path:
    """Make the feature store of `dataset` from shards that know all its images.

    Args:
        encoder: what made the shards (name, weights, fingerprint), for the record.
        width: of a feature.
        out: the store's folder; appears whole or not at all.

    Raises:
        UserError: if the shards lack an image.
    """
    rows: dict[str, list[int]] = {}
    for item, digest in zip(dataset.items["item"], dataset.items["image_sha256"], strict=True):
        if isinstance(digest, str):
            rows.setdefault(digest, []).append(item)
    with_image = {item for items in rows.values() for item in items}
    reason_of = {item: NO_IMAGE for item in dataset.items["item"].tolist() if item not in with_image}
    with atomic_folder(out) as folder:
        features = new_features(folder, dataset.n_items, width)
        for path in sorted(shards.glob("*.parquet")):
            for row in pq.read_table(path).to_pylist():
                for item in rows.get(row["image_sha256"], ()):
                    with_image.discard(item)
                    if row["feature"] is None:
                        reason_of[item] = row["reason"]
                    else:
                        features[item] = row["feature"]
                        reason_of.pop(item, None)
        if with_image:
            raise UserError(
                f"the features of {len(with_image)} images (item {min(with_image)}, …) are not in {str(shards)!r}: "
                "is --home a folder that every node sees?"
            )
        finish_store(folder, features, reason_of, {"dataset": dataset.fingerprint, "encoder": encoder}, out.name)
    return out


def new_features(folder: Path, n_items: int, width: int) -> np.memmap:
    """The zeroed features of a store that is being written. Shape: [items + 1, width], float32."""
    features: np.memmap = np.lib.format.open_memmap(
        folder / "features.npy", mode="w+", dtype=np.float32, shape=(n_items + 1, width)
    )
    return features


def finish_store(
    folder: Path, features: np.memmap, reason_of: dict[int, str], made_of: dict[str, object], identity: str
) -> None:
    """Write what belongs to a store beside its features: the ledger and the record."""
    features.flush()
    ledger = pd.DataFrame({"item": list(reason_of), "reason": list(reason_of.values())})
    ledger.astype({"item": "int32"}).to_parquet(folder / "ledger.parquet", index=False)
    record = {**made_of, "fingerprint": identity}
    (folder / "store.json").write_text(json.dumps(record, indent=2), "utf-8")


def store_fingerprint(dataset: Dataset, encoder_fingerprint: str) -> str:
    """The identity of a dataset's features: its images and the encoder."""
    return fingerprint(dataset.fingerprint, encoder_fingerprint)


@dataclass(frozen=True)
class FeatureStore:
    """The features of one dataset under one encoder, memory-mapped.

    Attributes:
        features: row i is item i, row 0 padding. Shape: [items + 1, width], float32.
        ledger: item and reason of every item without a feature.
        fingerprint: identity of the content.
    """

    features: np.ndarray
    ledger: pd.DataFrame
    fingerprint: str

    @classmethod
    def load(cls, folder: Path) -> FeatureStore:
        """Raises: UserError if `folder` is no feature store."""
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
        """The features as the mapping network gets them. Shape: [items + 1, width].

        `standard`: centred on the dataset's mean image, and divided by one number so that the mean square of an entry
        is 1. The towers' features differ in scale by a factor of ten and share a large common part; without this an
        encoder study compares scales too. `raw`: as they are, which is what the official code feeds.
        """
        features = np.array(self.features)
        if scaling == "standard" and self.has_image.any():
            seen = features[self.has_image]
            seen = seen - seen.mean(0)
            features[self.has_image] = seen / max(float(np.sqrt(np.mean(seen**2))), 1e-12)
        return features
