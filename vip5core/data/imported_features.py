"""Imports features that came with a source as feature stores of the dataset."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping
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
        store = folder / "features" / store_name(encoder)
        store.mkdir(parents=True)
        written = write_vectors(store, len(raw_ids), functools.partial(_vector_of, raw_ids.tolist(), files))
        if written is None:
            raise UserError(
                f"features of {encoder}: no file of an item in the dataset contains a vector: download them again"
            )
        table, reason_of = written
        for item, reason in reason_of.items():
            ledger.add("feature", f"{encoder}: {reason}", f"item {raw_ids.iloc[item - 1]}")
        table.flush()
        identity = fingerprint(PROVIDED, encoder, sha256_file(store / "features.npy"), sorted(reason_of))
        finish_store(store, table, reason_of, {"encoder": {"name": encoder, "weights": PROVIDED}}, identity)
        identities[encoder] = identity
    return identities


def _vector_of(raw_ids: list[str], files: Mapping[str, Path], item: int) -> np.ndarray | str:
    raw_id = raw_ids[item - 1]
    return read_vector(files[raw_id]) if raw_id in files else NO_IMAGE


def write_vectors(
    folder: Path, n_items: int, vector_of: Callable[[int], np.ndarray | str], width: int | None = None
) -> tuple[np.memmap, dict[int, str]] | None:
    """Write the features of a new store from one vector per item.

    Args:
        folder: the folder of the store, which exists.
        n_items: the number of items.
        vector_of: gives the vector of an item, or the reason why it has none.
        width: the number of entries of a feature; by default that of most vectors, so that a broken one does not
            decide.

    Returns:
        The features (shape: [items + 1, width]), and the reason of every item that has none, by its number; None if no
        item has a vector.
    """
    if width is None:
        vectors = (vector_of(item) for item in range(1, n_items + 1))
        widths = Counter(len(vector) for vector in vectors if isinstance(vector, np.ndarray) and len(vector))
        if not widths:
            return None
        width = max(widths, key=lambda width: (widths[width], width))
    table = create_features(folder, n_items, width)
    reason_of: dict[int, str] = {}
    for item in range(1, n_items + 1):
        vector = vector_of(item)
        if isinstance(vector, np.ndarray) and len(vector) != width:
            vector = f"{len(vector)} numbers instead of {width}"
        if isinstance(vector, str):
            reason_of[item] = vector
        else:
            table[item] = vector
    return table, reason_of


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
