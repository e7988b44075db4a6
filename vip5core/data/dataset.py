"""The `Dataset` contract: a folder of Parquet tables, images and a manifest.

    items.parquet         item (int32 from 1), raw_id, title, categories, description, image (relative path or
                          null), image_sha256 (or null), image_urls (the addresses of its pictures, best first);
                          and, only where an item has several pictures: url_pictures (the number of the picture that
                          each address shows; empty if all show one), further_images and further_sha256 (those of its
                          pictures after the first); and, only where the ids are tokens: id_tokens (see `IdTokens`)
    users.parquet         user (int32 from 1), raw_id, name
    interactions.parquet  user, item, timestamp (unix seconds), rating, position (in the user's history), split (see
                          `vip5core.data.split`)
    explanations.parquet  user, item, rating, summary, aspect, explanation, split
    candidates.parquet    user, split (valid, test), candidates (item ids, the target among them); only of users who
                          are asked for an item of that split
    images/               the images, original bytes
    features/{encoder}/   features that came with the source, each a `FeatureStore` (optional)
    truth/                the ground truth of a synthetic source (optional)
    manifest.json         `Manifest`

Everything after preparation reads only this folder.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from vip5core.data.held_out import HeldOutSplit
from vip5core.data.raw import Drop
from vip5core.data.split import find_targets
from vip5core.data.ties import TieOrder
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint, sha256_file
from vip5core.vocabulary import HELD_OUT, SPLITS, ItemImages, SplitScheme, Ties

SCHEMA_VERSION = 4
MANIFEST = "manifest.json"

SCHEMAS = {
    "items": pa.schema(
        [
            ("item", pa.int32()),
            ("raw_id", pa.string()),
            ("title", pa.string()),
            ("categories", pa.list_(pa.string())),
            ("description", pa.string()),
            ("image", pa.string()),
            ("image_sha256", pa.string()),
            ("image_urls", pa.list_(pa.string())),
            ("url_pictures", pa.list_(pa.int32())),
            ("further_images", pa.list_(pa.string())),
            ("further_sha256", pa.list_(pa.string())),
            ("id_tokens", pa.list_(pa.int32())),
        ]
    ),
    "users": pa.schema([("user", pa.int32()), ("raw_id", pa.string()), ("name", pa.string())]),
    "interactions": pa.schema(
        [
            ("user", pa.int32()),
            ("item", pa.int32()),
            ("timestamp", pa.int64()),
            ("rating", pa.float32()),
            ("position", pa.int32()),
            ("split", pa.string()),
        ]
    ),
    "explanations": pa.schema(
        [
            ("user", pa.int32()),
            ("item", pa.int32()),
            ("rating", pa.float32()),
            ("summary", pa.string()),
            ("aspect", pa.string()),
            ("explanation", pa.string()),
            ("split", pa.string()),
        ]
    ),
    "candidates": pa.schema([("user", pa.int32()), ("split", pa.string()), ("candidates", pa.list_(pa.int32()))]),
}

#: Columns of lists that a file lacks if all lists are empty: datasets without further pictures keep their identity.
OPTIONAL_COLUMNS = {"items": ("url_pictures", "further_images", "further_sha256", "id_tokens")}


class IdTokens(BaseModel):
    """Item ids that are made of tokens of their own, numbered from 0, instead of being numbers.

    Attributes:
        tokens: how many there are.
        longest: how many the longest id has.
        code_use: of ids that are codes, the share of each level's codes that any item has.
        collisions: the share of items whose codes another item has, too, before the last token tells them apart.
        without_content: how many items have nothing that codes could be made of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int
    longest: int
    code_use: list[float] = []
    collisions: float | None = None
    without_content: int = 0


class Manifest(BaseModel):
    """What a dataset is, where it came from, and what it lacks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int
    source: dict[str, str]
    counts: dict[str, int]
    tables: dict[str, str]  # table name -> sha256 of its file
    images: str  # fingerprint over the sha256 of each item's image, and of further ones if there are any
    features: dict[str, str]  # features that came with the source: encoder -> fingerprint
    id_scheme: str
    ids_leak: bool  # whether the ids may reveal the held-out items
    id_tokens: IdTokens | None = None  # None if the ids are numbers
    split: SplitScheme
    held_out: float  # the share of each held-out split, if split by time
    held_out_splits: dict[str, HeldOutSplit]
    ties: Ties
    tie_order: TieOrder  # as the ties came from the source
    has_times: bool  # whether timestamps are times; otherwise they are places in a user's history
    k_core: int
    duplicates: str
    repeats: str
    candidates: int
    seed: int
    drops: list[Drop]

    @property
    def fingerprint(self) -> str:
        """The identity of the content: of the tables, images and imported features."""
        return fingerprint(self.schema_version, self.tables, self.images, self.features)


class _Version(BaseModel):
    """The one field that every version of the manifest has."""

    schema_version: int


def write_table(frame: pd.DataFrame, name: str, folder: Path) -> str:
    """Write one table of the contract and return its sha256; optional columns may be missing."""
    schema = SCHEMAS[name]
    for column in OPTIONAL_COLUMNS.get(name, ()):
        if column not in frame or not frame[column].map(len).any():
            schema = schema.remove(schema.get_field_index(column))
    path = folder / f"{name}.parquet"
    pq.write_table(
        pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False).replace_schema_metadata(),
        path,
    )
    return sha256_file(path)


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset, open for reading.

    Items and users are numbered from 1; row `i - 1` of `items` is item `i`, likewise for users.
    """

    folder: Path
    manifest: Manifest
    items: pd.DataFrame
    users: pd.DataFrame
    interactions: pd.DataFrame
    explanations: pd.DataFrame
    candidate_lists: pd.DataFrame

    @classmethod
    def load(cls, folder: Path | str) -> Dataset:
        """Open and check a dataset folder.

        Raises:
            UserError: if `folder` is not a dataset, has another schema version, or does not match its manifest.
        """
        folder = Path(folder).resolve()
        again = "prepare it again"
        path = folder / MANIFEST
        if not path.is_file():
            raise UserError(f"{str(folder)!r} is not a dataset: it has no {MANIFEST}; {again}")
        manifest = read_manifest(path)
        tables = {}
        for name in SCHEMAS:
            file = folder / f"{name}.parquet"
            if not file.is_file() or sha256_file(file) != manifest.tables.get(name):
                raise UserError(
                    f"dataset {str(folder)!r}: {file.name} is missing or does not match its manifest: {again}"
                )
            tables[name] = pq.read_table(file).to_pandas()
            for column in OPTIONAL_COLUMNS.get(name, ()):
                if column not in tables[name]:
                    tables[name][column] = [[] for _ in range(len(tables[name]))]
        dataset = cls(
            folder,
            manifest,
            tables["items"],
            tables["users"],
            tables["interactions"],
            tables["explanations"],
            tables["candidates"],
        )
        problem = _find_inconsistency(dataset)
        if problem:
            raise UserError(f"dataset {str(folder)!r}: {problem}: {again}")
        return dataset

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def has_images(self) -> bool:
        """Does any item have an image file?"""
        return bool(self.items["image_sha256"].notna().any())

    @functools.cached_property
    def has_further_images(self) -> bool:
        """Does any item have more than one image file?"""
        return bool(self.items["further_sha256"].map(len).any())

    def pictures(self, item_images: ItemImages) -> pd.DataFrame:
        """The image files, in the order of the items and of each item's pictures: the first of each item, or all.

        Returns:
            The columns item, image (the path relative to the dataset), image_sha256.
        """
        columns = ["item", "image", "image_sha256"]
        first = self.items[columns].dropna(subset=["image_sha256"])
        if item_images == "first" or not self.has_further_images:
            return first.reset_index(drop=True)
        further = self.items[["item", "further_images", "further_sha256"]].set_axis(columns, axis=1)
        further = further[further["image"].map(len) > 0].explode(["image", "image_sha256"])
        return pd.concat([first, further]).sort_values("item", kind="stable", ignore_index=True)

    @property
    def n_id_tokens(self) -> int:
        """The number of tokens that item ids are made of; 0 if they are numbers."""
        return self.manifest.id_tokens.tokens if self.manifest.id_tokens is not None else 0

    @functools.cached_property
    def fingerprint(self) -> str:
        """The identity of the content; see `Manifest.fingerprint`."""
        return self.manifest.fingerprint

    @property
    def name(self) -> str:
        return self.manifest.source["name"]

    @functools.cached_property
    def _history_starts(self) -> np.ndarray:
        return np.searchsorted(self.interactions["user"].to_numpy(), np.arange(1, self.n_users + 2))

    @functools.cached_property
    def _history_items(self) -> np.ndarray:
        return self.interactions["item"].to_numpy()

    def history(self, user: int) -> np.ndarray:
        """A user's item ids in time order, the held-out ones at the end. Shape: [interactions of the user]."""
        return self._history_items[self._history_starts[user - 1] : self._history_starts[user]]

    @functools.cached_property
    def training_lengths(self) -> np.ndarray:
        """How many interactions of each user are in the training split. Shape: [users + 1], entry 0 unused."""
        training = self.interactions["split"] == "train"
        return np.bincount(self.interactions["user"][training], minlength=self.n_users + 1)

    def training_history(self, user: int) -> np.ndarray:
        """The part of a user's history that models are trained on. Shape: [training interactions of the user]."""
        return self.history(user)[: self.training_lengths[user]]

    @functools.cached_property
    def _target_rows(self) -> dict[str, dict[int, int]]:
        """The row of each target by split and user."""
        users = self.interactions["user"].to_numpy()
        rows = {split: find_targets(self.interactions, split) for split in HELD_OUT}
        return {split: dict(zip(users[of].tolist(), of.tolist(), strict=True)) for split, of in rows.items()}

    def asked_users(self, split: str) -> np.ndarray:
        """The users who are asked for an item of `split` (valid or test), in order. Shape: [asked users]."""
        return np.array(list(self._target_rows[split]), dtype=np.int64)

    def before(self, user: int, split: str) -> np.ndarray:
        """The history that a model may see when it predicts the target of `split`: everything before it."""
        return self._history_items[self._history_starts[user - 1] : self._target_rows[split][user]]

    def target(self, user: int, split: str) -> int:
        """The item of `split` (valid or test) that one of its `asked_users` is asked for."""
        return int(self._history_items[self._target_rows[split][user]])

    @functools.cached_property
    def _candidates(self) -> dict[str, dict[int, np.ndarray]]:
        return {
            str(split): dict(zip(table["user"], table["candidates"], strict=True))
            for split, table in self.candidate_lists.groupby("split")
        }

    def candidates(self, user: int, split: str) -> np.ndarray:
        """The stored candidate list of one of the `asked_users` of `split`, with the target. Shape: [candidates]."""
        return self._candidates[split][user]

    def explanations_of(self, split: str) -> pd.DataFrame:
        return self.explanations[self.explanations["split"] == split].reset_index(drop=True)

    @functools.cached_property
    def training_popularity(self) -> np.ndarray:
        """How often each item occurs in the training split. Shape: [items + 1], entry 0 unused."""
        training = self.interactions[self.interactions["split"] == "train"]
        return np.bincount(training["item"], minlength=self.n_items + 1)


def images_fingerprint(items: pd.DataFrame) -> str:
    """The identity of the items' images by content, as a manifest keeps it."""
    first = [None if pd.isna(digest) else digest for digest in items["image_sha256"]]
    further = [list(hashes) for hashes in items["further_sha256"]] if "further_sha256" in items else []
    return fingerprint(first, further) if any(further) else fingerprint(first)


def open_dataset(folder: Path | str) -> Dataset:
    """Open a dataset, which a process reads and checks only once as long as its manifest does not change.

    Raises:
        UserError: see `Dataset.load`.
    """
    folder = Path(folder).resolve()
    manifest = folder / MANIFEST
    changed = manifest.stat().st_mtime_ns if manifest.is_file() else 0
    return _open_once(folder, changed)


@functools.lru_cache(maxsize=4)
def _open_once(folder: Path, changed: int) -> Dataset:
    del changed  # part of the cache key: `vip5 images` replaces the manifest
    return Dataset.load(folder)


def read_manifest(path: Path) -> Manifest:
    """Read and check the manifest of a dataset.

    Raises:
        UserError: if it is none, or that of another schema version.
    """
    again = "prepare it again"
    try:
        text = path.read_text("utf-8")
        version = _Version.model_validate_json(text).schema_version
        if version != SCHEMA_VERSION:
            raise UserError(
                f"dataset {str(path.parent)!r} has schema version {version}, this code reads {SCHEMA_VERSION}: {again}"
            )
        return Manifest.model_validate_json(text)
    except UnicodeDecodeError:
        raise UserError(f"{str(path)!r} is not a manifest: not UTF-8; {again}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or MANIFEST
        raise UserError(f"{str(path)!r} is not a manifest: {where}: {first['msg']}; {again}") from None


def _find_inconsistency(dataset: Dataset) -> str | None:
    """The first broken rule of the contract, if any."""
    interactions = dataset.interactions
    if not np.array_equal(dataset.items["item"], np.arange(1, dataset.n_items + 1)):
        return "items are not numbered 1, 2, … in order"
    if not np.array_equal(dataset.users["user"], np.arange(1, dataset.n_users + 1)):
        return "users are not numbered 1, 2, … in order"
    urls, of_urls, further, hashes = (
        dataset.items[column].map(len) for column in ("image_urls", "url_pictures", "further_images", "further_sha256")
    )
    if not (of_urls.isin([0]) | (of_urls == urls)).all():
        return "an item's addresses and the numbers of their pictures differ in number"
    if problem := _find_problem_of_ids(dataset):
        return problem
    if not (further == hashes).all() or dataset.items.loc[further > 0, "image"].isna().any():
        return "further pictures lack their sha256, or their item a first picture"
    for table, frame in (("interactions", interactions), ("explanations", dataset.explanations)):
        for column, limit in (("item", dataset.n_items), ("user", dataset.n_users)):
            if len(frame) and not frame[column].between(1, limit).all():
                return f"{table} have {column} numbers outside 1…{limit}"
    if not (interactions["user"].diff().fillna(0) >= 0).all():
        return "interactions are not ordered by user"
    if not np.array_equal(interactions.groupby("user").cumcount(), interactions["position"]):
        return "positions are not 0, 1, … within each user"
    if interactions["user"].nunique() != dataset.n_users:
        return "a user has no interactions"
    stages = interactions["split"].map({split: stage for stage, split in enumerate(SPLITS)})
    if stages.isna().any() or (stages.groupby(interactions["user"]).diff() < 0).any():
        return "a history is not in the order training, validation, test"
    for split in HELD_OUT:
        lists = dataset.candidate_lists[dataset.candidate_lists["split"] == split].sort_values("user")
        if not np.array_equal(lists["user"], dataset.asked_users(split)):
            return f"not every user with a {split} item has {split} candidates"
        if not all(
            dataset.target(user, split) in candidates
            for user, candidates in zip(lists["user"], lists["candidates"], strict=True)
        ):
            return f"a {split} candidate list lacks its target"
    return None


def _find_problem_of_ids(dataset: Dataset) -> str | None:
    ids = [tuple(tokens) for tokens in dataset.items["id_tokens"]]
    if not dataset.n_id_tokens:
        return "ids have tokens of which the manifest does not know" if any(ids) else None
    if len(set(ids)) < len(ids) or not all(ids):
        return "two items have the same id, or one has none"
    if set().union(*ids) != set(range(dataset.n_id_tokens)):
        return f"ids are not made of the tokens 0…{dataset.n_id_tokens - 1}"
    return None
