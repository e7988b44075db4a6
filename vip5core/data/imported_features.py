"""Features that a source came with, imported as feature stores of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from vip5core.data.feature_store import NO_IMAGE, finish_store, new_features
from vip5core.data.raw import DropLedger
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint, sha256_file
from vip5core.vocabulary import PROVIDED


def store_name(encoder: str) -> str:
    """The folder of an encoder's features inside a dataset: `ViT-B/32` lies in `features/ViT-B-32`."""
    return encoder.replace("/", "-")


def import_features(
    features: Mapping[str, Mapping[str, Path]], raw_ids: pd.Series, folder: Path, ledger: DropLedger
) -> dict[str, str]:
    """Write `folder/features/{encoder}/` for every encoder; returns their fingerprints.

    A file that holds no vector of the encoder's width is a ledger row of the store and of the dataset.

    Args:
        features: by encoder, by raw item id, a `.npy` file with one vector.
        raw_ids: of items 1, 2, …

    Raises:
        UserError: if no file of an encoder holds a vector.
    """
    identities: dict[str, str] = {}
    for encoder, files in sorted(features.items()):
        vectors = (_vector(files[raw_id]) for raw_id in raw_ids if raw_id in files)
        widths = Counter(len(vector) for vector in vectors if isinstance(vector, np.ndarray))
        if not widths:
            raise UserError(f"the features of {encoder}: no file of an item in the dataset holds a vector")
        width = max(widths, key=lambda width: (widths[width], width))  # that of most, so that a broken one has no say
        store = folder / "features" / store_name(encoder)
        store.mkdir(parents=True)
        table = new_features(store, len(raw_ids), width)
        reason_of: dict[int, str] = {}
        for item, raw_id in enumerate(raw_ids, start=1):
            vector = _vector(files[raw_id]) if raw_id in files else NO_IMAGE
            if isinstance(vector, np.ndarray) and len(vector) != width:
                vector = f"{len(vector)} numbers where others have {width}"
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


def _vector(path: Path) -> np.ndarray | str:
    """The vector in a `.npy` file, or why there is none; pickled objects are never loaded."""
    try:
        with path.open("rb") as file:
            vector = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a broken file can raise nearly anything
        return f"not a .npy array of numbers ({type(error).__name__})"
    if vector.dtype.kind != "f" or vector.size == 0 or vector.size != max(vector.shape, default=1):
        return "not one vector of floating-point numbers"
    with np.errstate(over="ignore"):
        vector = vector.reshape(-1).astype(np.float32)
    return vector if np.isfinite(vector).all() else "not finite"
