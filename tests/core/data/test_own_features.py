"""Features of the user's own become a store of the dataset, and every row that is not used is counted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.raw import raw_histories

from vip5core.data.build import build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import NO_IMAGE, FeatureStore
from vip5core.data.own_features import OwnFeatureCounts, build_own_features
from vip5core.encoders import EncoderChoice, OwnFeatures
from vip5core.errors import UserError

WIDTH = 5
ITEMS = ["007", "b", "c", "d", "e", "Ärger"]
Save = Callable[[Path, list[str], np.ndarray], Path]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Six items without a picture."""
    return Dataset.load(build_dataset(raw_histories({"u": ITEMS}), tmp_path / "dataset"))


def vectors(n: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, WIDTH)).astype(np.float32)


def save_matrix(folder: Path, ids: list[str], table: np.ndarray, ending: str = "txt") -> Path:
    np.save(folder / "dino.npy", table)
    text = json.dumps(ids) if ending == "json" else "".join(f"{raw_id}\n" for raw_id in ids)
    (folder / f"dino.ids.{ending}").write_text(text, "utf-8")
    return folder / "dino.npy"


def save_listed_matrix(folder: Path, ids: list[str], table: np.ndarray) -> Path:
    return save_matrix(folder, ids, table.astype(np.float64), "json")


def save_parquet(folder: Path, ids: list[str], table: np.ndarray) -> Path:
    pq.write_table(pa.table({"vector": list(table), "sku": ids}), folder / "dino.parquet")
    return folder / "dino.parquet"


def save_folder(folder: Path, ids: list[str], table: np.ndarray) -> Path:
    (folder / "vitb32_features").mkdir()
    for raw_id, vector in zip(ids, table, strict=True):
        np.save(folder / "vitb32_features" / f"{raw_id}.npy", vector[None])
    return folder / "vitb32_features"


SAVES: dict[str, Save] = {
    "matrix": save_matrix,
    "matrix and JSON": save_listed_matrix,
    "parquet": save_parquet,
    "folder": save_folder,
}


def store_of(dataset: Dataset, path: Path, out: Path) -> tuple[FeatureStore, OwnFeatureCounts]:
    build_own_features(dataset, OwnFeatures(str(path)), {"name": f"features:{path}"}, out)
    counts = OwnFeatureCounts.load(out)
    assert counts is not None
    return FeatureStore.load(out), counts


@pytest.mark.slow
@pytest.mark.parametrize("form", SAVES)
def test_every_item_has_its_row_in_whatever_order_they_are(form: str, dataset: Dataset, tmp_path: Path) -> None:
    ids = [ITEMS[place] for place in (5, 2, 0, 3, 4)]  # without "b"
    table = vectors(5)
    store, counts = store_of(dataset, SAVES[form](tmp_path, ids, table), tmp_path / "store")
    items = dataset.items.set_index("raw_id")["item"]
    assert store.features.shape == (len(ITEMS) + 1, WIDTH)
    np.testing.assert_array_equal(store.features[[items[raw_id] for raw_id in ids]], table)
    assert dict(zip(store.ledger["item"], store.ledger["reason"], strict=True)) == {items["b"]: NO_IMAGE}
    assert not store.features[[0, items["b"]]].any()
    assert (counts.rows, counts.used, counts.problems()) == (5, 5, "")
    assert store.fingerprint == "store"


@pytest.mark.parametrize("form", ["matrix", "parquet"])
def test_what_cannot_be_used_is_counted_and_in_the_ledger(form: str, dataset: Dataset, tmp_path: Path) -> None:
    table = vectors(6)
    table[1, 2] = np.nan
    store, counts = store_of(
        dataset, SAVES[form](tmp_path, ["007", "b", "nobody", "c", "c", "none"], table), tmp_path / "store"
    )
    items = dataset.items.set_index("raw_id")["item"]
    np.testing.assert_array_equal(store.features[items["c"]], table[3])  # the first of two rows
    reasons = dict(zip(store.ledger["item"], store.ledger["reason"], strict=True))
    assert reasons[items["b"]] == "contains numbers that are not finite"
    assert {reasons[items[raw_id]] for raw_id in ("d", "e", "Ärger")} == {NO_IMAGE}
    assert (counts.rows, counts.used, counts.unknown, counts.repeated) == (6, 2, 2, 1)
    told = counts.problems()
    assert "1 contains numbers that are not finite" in told
    assert "2 of ids that the dataset does not have ('nobody', …)" in told
    assert "1 repeat an id ('c', …), whose first row counts" in told


def test_rows_of_another_width_do_not_decide_and_are_not_used(dataset: Dataset, tmp_path: Path) -> None:
    folder = save_folder(tmp_path, ITEMS, vectors(6))
    np.save(folder / "b.npy", np.ones(9, np.float32))
    (folder / "c.npy").write_bytes(b"no array")
    np.save(folder / "d.npy", np.full(WIDTH, 1e300))  # beyond float32
    store, counts = store_of(dataset, folder, tmp_path / "store")
    assert store.features.shape[1] == WIDTH
    assert counts.used == 3
    assert sorted(store.ledger["reason"]) == [
        f"9 numbers instead of {WIDTH}",
        "contains numbers that are not finite",
        "not a .npy array of numbers (ValueError)",
    ]
    frame = pd.DataFrame({"raw_id": ITEMS, "other": 1.0, "vector": [[1, 2], [1, 2], [1], None, [1, None], [3, 4]]})
    frame.to_parquet(tmp_path / "mixed.parquet")
    store, counts = store_of(dataset, tmp_path / "mixed.parquet", tmp_path / "mixed")
    assert (store.features.shape[1], counts.used) == (2, 3)
    assert counts.unusable == {
        "1 numbers instead of 2": 1,
        "0 numbers instead of 2": 1,
        "contains numbers that are not finite": 1,
    }


def test_numbers_as_ids_are_text(tmp_path: Path) -> None:
    dataset = Dataset.load(build_dataset(raw_histories({"u": ["1", "2", "3", "4"]}), tmp_path / "dataset"))
    pd.DataFrame({"movie": [4, 2, 9], "vector": [[4.0, 0.5], [2.0, 0.5], [9.0, 0.5]]}).to_parquet(
        tmp_path / "v.parquet"
    )
    store, counts = store_of(dataset, tmp_path / "v.parquet", tmp_path / "store")
    items = dataset.items.set_index("raw_id")["item"]
    assert store.features[[items["4"], items["2"]], 0].tolist() == [4.0, 2.0]
    assert (counts.used, counts.unknown) == (2, 1)


@pytest.mark.parametrize("form", SAVES)
def test_their_identity_is_their_content(form: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    path = SAVES[form](tmp_path / "here", ITEMS, vectors(6))
    choice = EncoderChoice(f"features:{path}")
    assert not choice.needs_images
    shutil.copytree(tmp_path / "here", tmp_path / "moved")
    for file in (tmp_path / "moved").glob("dino*"):
        file.rename(file.with_name(file.name.replace("dino", "clip")))
    moved = tmp_path / "moved" / path.name.replace("dino", "clip")
    assert EncoderChoice(f"features:{moved}").fingerprint == choice.fingerprint
    SAVES[form](tmp_path, ["007", "b", "c", "d", "E", "Ärger"], vectors(6))
    assert EncoderChoice(f"features:{tmp_path / path.name}").fingerprint != choice.fingerprint


def wrong_number(folder: Path) -> Path:
    return save_matrix(folder, ["b"], vectors(2))


def pickled(folder: Path) -> Path:
    save_matrix(folder, ITEMS, vectors(6))
    np.save(folder / "dino.npy", np.array([{"a": 1}] * 6), allow_pickle=True)
    return folder / "dino.npy"


def without_ids(folder: Path) -> Path:
    save_matrix(folder, ITEMS, vectors(6))
    (folder / "dino.ids.txt").unlink()
    return folder / "dino.npy"


def without_vectors(folder: Path) -> Path:
    pd.DataFrame({"raw_id": ITEMS, "x": 1.0}).to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


def broken(folder: Path) -> Path:
    (folder / "x.parquet").write_bytes(b"PAR1 and no more")
    return folder / "x.parquet"


def other_ending(folder: Path) -> Path:
    (folder / "x.csv").write_text("1,2")
    return folder / "x.csv"


def folder_of_folders(folder: Path) -> Path:
    save_folder(folder, ITEMS, vectors(6))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: save_matrix(folder, ["x", "y"], vectors(2)), r"its ids are like \['x', 'y'\]"),
        (lambda folder: save_matrix(folder, ITEMS, np.full((6, 3), np.inf)), "no item has a feature: 6 contains"),
        (lambda folder: save_matrix(folder, ITEMS, np.ones(6)), "must hold a matrix of numbers, one row per item"),
        (wrong_number, r"dino\.npy has 2 rows, and dino\.ids\.txt 1 ids"),
        (pickled, "cannot be read"),
        (without_ids, r"put them beside it, one a line as dino\.ids\.txt, or in a list as dino\.ids\.json"),
        (without_vectors, "must have one column of lists of numbers"),
        (broken, "cannot be read"),
        (other_ending, r"must be a \.npy or \.parquet file, or a folder of \.npy files"),
        (folder_of_folders, "it has the folders dataset, vitb32_features: name one of them"),
        (lambda folder: folder / "nowhere.npy", "there is no such file or folder"),
    ],
    ids=lambda value: getattr(value, "__name__", "") if callable(value) else "",
)
def test_features_that_make_no_store_are_refused_in_one_line(
    make: Callable[[Path], Path], message: str, dataset: Dataset, tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        build_own_features(dataset, OwnFeatures(str(path)), {}, tmp_path / "store")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "store").exists()
