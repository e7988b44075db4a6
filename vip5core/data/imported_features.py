"""Imports features that came with a source as feature stores of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from vip5core.data.feature_store import NO_IMAGE, create_features, finish_store
from vip5core.data.raw import DropLedger
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint, sha256_file
from vip5core.vocabulary import PROVIDED


def store_name(encoder: str) -> str:
    """The name of an encoder's folder in `features/`: `ViT-B-32` for `ViT-B/32`."""
    return encoder.replace("/", "-")


def import_features(
    features: Mapping[str, Mapping[str, Path]], raw_ids: pd.Series, folder: Path, ledger: DropLedger
) -> dict[str, str]:
    """Write `folder/features/{encoder}/` for every encoder; returns their fingerprints.

    A file without a vector of the encoder's width is recorded in the ledgers of the store and of the dataset.

    Args:
        features: the `.npy` file with one vector, by encoder and raw item id.
        raw_ids: the raw ids of items 1, 2, …
        folder: the folder of the dataset.
        ledger: takes the files that cannot be used.

    Raises:
        UserError: if no file of an encoder contains a vector.
    """
    identities: dict[str, str] = {}
    for encoder, files in sorted(features.items()):
        vectors = (read_vector(files[raw_id]) for raw_id in raw_ids if raw_id in files)
        widths = Counter(len(vector) for vector in vectors if isinstance(vector, np.ndarray))
        if not widths:
            raise UserError(
                f"features of {encoder}: no file of an item in the dataset contains a vector: download them again"
            )
        # The most frequent width, so that a broken file does not decide.
        width = max(widths, key=lambda width: (widths[width], width))
        store = folder / "features" / store_name(encoder)
        store.mkdir(parents=True)
        table = create_features(store, len(raw_ids), width)
        reason_of: dict[int, str] = {}
        for item, raw_id in enumerate(raw_ids, start=1):
            vector = read_vector(files[raw_id]) if raw_id in files else NO_IMAGE
            if isinstance(vector, np.ndarray) and len(vector) != width:
                vector = f"{len(vector)} numbers instead of {width}"
            if isinstance(vector, str):
                reason_of[item] = vector
                ledger.add("feature", f"{encoder}: {vector}", f"item {raw_id}")
            else:
                table[item] = vector
        table.flush()
        identity = fingerprint(PROVIDED, encoder, sha256_file(store / "features.npy"), sorted(reason_of))
        finish_store(store, table, reason_of, {"encoder": {"name": encoder, "weights": PROVIDED}}, identity)
        identities[encoder] = identity
    return identities


def read_vector(path: Path) -> np.ndarray | str:
    """The vector in a `.npy` file, or the reason why there is none; pickled objects are never loaded."""
    try:
        with path.open("rb") as file:
            vector = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a broken file can raise nearly anything
        return f"not a .npy array of numbers ({type(error).__name__})"
    if vector.dtype.kind not in "fiu" or vector.size == 0 or vector.size != max(vector.shape, default=1):
        return "not one vector of numbers"
    with np.errstate(over="ignore"):
        vector = vector.reshape(-1).astype(np.float32)
    return vector if np.isfinite(vector).all() else "contains numbers that are not finite"
