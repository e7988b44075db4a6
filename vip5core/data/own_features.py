"""Makes a feature store of features of the user's own; `vip5core.encoders.OwnFeatures` says in which files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import NO_IMAGE, finish_store
from vip5core.data.imported_features import read_vector, write_vectors
from vip5core.encoders import OwnFeatures
from vip5core.errors import UserError, first_line
from vip5core.storage import atomic_folder

_NOT_FINITE = "contains numbers that are not finite"


@dataclass(frozen=True)
class _Rows:
    """The rows of the files: their raw ids, what stands in a row, and the width if all rows have the same."""

    ids: list[str]
    vector: Callable[[int], np.ndarray | str]
    width: int | None = None


@dataclass
class OwnFeatureCounts:
    """What became of the rows of features of the user's own, as their store records it.

    Attributes:
        rows: How many rows there are.
        used: How many items have a feature.
        unknown: How many rows are of ids that the dataset does not have, with the first of them.
        repeated: How many rows repeat an id, of which the first row counts, with the first of these ids.
        unusable: How many rows of items cannot be used, by the reason.
    """

    rows: int = 0
    used: int = 0
    unknown: int = 0
    first_unknown: str = ""
    repeated: int = 0
    first_repeated: str = ""
    unusable: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, store: Path) -> OwnFeatureCounts | None:
        """Those of a store; None for a store of another kind."""
        found = json.loads((store / "store.json").read_text("utf-8")).get("own_features")
        return cls(**found) if found is not None else None

    def problems(self) -> str:
        """The rows that are not used, in words; empty if all are."""
        parts = [f"{count} {reason}" for reason, count in self.unusable.items()]
        if self.unknown:
            parts.append(f"{self.unknown} of ids that the dataset does not have ({self.first_unknown!r}, …)")
        if self.repeated:
            parts.append(f"{self.repeated} repeat an id ({self.first_repeated!r}, …), whose first row counts")
        return "; ".join(parts)


def build_own_features(dataset: Dataset, own: OwnFeatures, encoder: dict[str, str], out: Path) -> Path:
    """Write the feature store of `dataset` with features of the user's own.

    Items without a row have no picture. Rows that cannot be used (of another width than most, or with numbers that are
    not finite) are in the store's ledger; they, rows of unknown ids and repeated ids are counted in its record.

    Args:
        dataset: the dataset.
        own: the features.
        encoder: the encoder (name, weights, fingerprint), for the record.
        out: the folder of the store, which appears complete or not at all.

    Raises:
        UserError: if the files cannot be read, or no row is a vector of an item.
    """
    rows = _read(own)
    item_of = {raw_id: item for item, raw_id in enumerate(dataset.items["raw_id"].tolist(), start=1)}
    row_of: dict[int, int] = {}
    counts, seen = OwnFeatureCounts(rows=len(rows.ids)), set()
    for row, raw_id in enumerate(rows.ids):
        if raw_id in seen:
            counts.repeated, counts.first_repeated = counts.repeated + 1, counts.first_repeated or raw_id
        elif raw_id not in item_of:
            counts.unknown, counts.first_unknown = counts.unknown + 1, counts.first_unknown or raw_id
        else:
            row_of[item_of[raw_id]] = row
        seen.add(raw_id)
    if not row_of:
        raise _no_vector(own, rows, dataset)

    def vector_of(item: int) -> np.ndarray | str:
        return _finite(rows.vector(row_of[item])) if item in row_of else NO_IMAGE

    with atomic_folder(out) as folder:
        written = write_vectors(folder, dataset.n_items, vector_of, rows.width)
        if written is None:
            raise _no_vector(own, rows, dataset)
        features, reason_of = written
        unusable = Counter(reason_of[item] for item in row_of if item in reason_of)
        counts.used, counts.unusable = dataset.n_items - len(reason_of), dict(unusable.most_common())
        if not counts.used:
            raise UserError(f"encoder {own.name!r}: no item has a feature: {counts.problems()}")
        made_of: dict[str, object] = {
            "dataset": dataset.fingerprint,
            "encoder": encoder,
            "own_features": asdict(counts),
        }
        finish_store(folder, features, reason_of, made_of, out.name)
    return out


def read_by_raw_id(own: OwnFeatures) -> dict[str, np.ndarray]:
    """The vectors that can be used, of the width that most of them have, by raw id; of a repeated id the first row.

    Raises:
        UserError: if the files cannot be read.
    """
    rows = _read(own)
    vectors: dict[str, np.ndarray] = {}
    for row, raw_id in enumerate(rows.ids):
        if isinstance(vector := _finite(rows.vector(row)), np.ndarray):
            vectors.setdefault(raw_id, vector)
    widths = Counter(map(len, vectors.values()))
    usual = max(widths, key=lambda width: (widths[width], width), default=0)
    return {raw_id: vector for raw_id, vector in vectors.items() if len(vector) == usual}


def _no_vector(own: OwnFeatures, rows: _Rows, dataset: Dataset) -> UserError:
    return UserError(
        f"encoder {own.name!r}: none of its {len(rows.ids)} rows is a vector of an item of {dataset.name!r}: "
        f"its ids are like {rows.ids[:2]}, those of the items like {dataset.items['raw_id'].tolist()[:2]}"
    )


def _finite(vector: np.ndarray | str) -> np.ndarray | str:
    """The vector as float32, or the reason why it cannot be used."""
    if isinstance(vector, str):
        return vector
    with np.errstate(over="ignore", invalid="ignore"):
        vector = vector.astype(np.float32)
    return vector if np.isfinite(vector).all() else _NOT_FINITE


def _read(own: OwnFeatures) -> _Rows:
    """Raises: UserError if the files have another form than they should."""
    files = own.files()
    try:
        if own.file.is_dir():
            return _Rows([file.stem for file in files], lambda row: read_vector(files[row]))
        if files[0].suffix == ".parquet":
            return _read_parquet(files[0])
        return _read_matrix(*files)
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        raise UserError(f"encoder {own.name!r} cannot be read: {first_line(error)}") from None


def _read_matrix(matrix: Path, ids_file: Path) -> _Rows:
    """Raises: ValueError if it is no matrix of numbers, or has another number of rows than there are ids."""
    table = np.load(matrix, mmap_mode="r", allow_pickle=False)
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind not in "fiu" or not table.shape[1]:
        raise ValueError(f"{matrix.name} must hold a matrix of numbers, one row per item")
    text = ids_file.read_text("utf-8-sig")
    # Not `splitlines`, which also splits at characters that an id may hold.
    ids = json.loads(text) if ids_file.suffix == ".json" else text.removesuffix("\n").split("\n")
    if not isinstance(ids, list) or len(ids) != len(table):
        raise ValueError(f"{matrix.name} has {len(table)} rows, and {ids_file.name} {len(ids)} ids: one a row")
    return _Rows([str(raw_id) for raw_id in ids], lambda row: np.asarray(table[row]), table.shape[1])


def _read_parquet(path: Path) -> _Rows:
    """Raises: ValueError if there is no column of vectors, or none of ids."""
    schema = pq.read_schema(path)
    lists = [name for name in schema.names if _is_list_of_numbers(schema.field(name).type)]
    others = [name for name in schema.names if name not in lists]
    id_column = "raw_id" if "raw_id" in others else others[0] if len(others) == 1 else None
    if len(lists) != 1 or id_column is None:
        raise ValueError(
            f"{path.name} must have one column of lists of numbers, and one of raw ids (raw_id, if there are more); "
            f"it has {', '.join(schema.names)}"
        )
    table = pq.read_table(path, columns=[id_column, lists[0]])
    vectors = table[lists[0]]

    def vector(row: int) -> np.ndarray | str:
        value: Any = vectors[row].values
        return np.array([]) if value is None else value.to_numpy(zero_copy_only=False)

    return _Rows([str(raw_id) for raw_id in table[id_column].to_pylist()], vector)


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
