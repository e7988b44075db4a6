"""What recommending needs of a dataset: its items and the names of its users, but no interactions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from vip5core.data.dataset import MANIFEST, SCHEMAS, Dataset, read_manifest
from vip5core.errors import UserError
from vip5core.fingerprint import sha256_file

#: The files that it reads.
CATALOGUE_FILES = ("items.parquet", "users.parquet", MANIFEST)


def open_catalogue(folder: Path) -> Dataset:
    """The items and users of a dataset, and one more user: anybody whom the model has never seen.

    Returns:
        A dataset without interactions, explanations and candidates, whose last user is that one.

    Raises:
        UserError: if a file is missing, or is not the one that the manifest names.
    """
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{str(folder)!r} has no {MANIFEST}: give a prepared dataset or an exported model")
    manifest = read_manifest(folder / MANIFEST)
    tables = {name: pd.DataFrame(columns=schema.names) for name, schema in SCHEMAS.items()}
    for name in ("items", "users"):
        file = folder / f"{name}.parquet"
        if not file.is_file() or sha256_file(file) != manifest.tables.get(name):
            raise UserError(f"{str(file)!r} is missing or does not match its manifest: make its folder again")
        tables[name] = pq.read_table(file).to_pandas()
    stranger = pd.DataFrame({"user": [len(tables["users"]) + 1], "raw_id": [None], "name": [""]})
    users = pd.concat([tables["users"], stranger], ignore_index=True)
    return Dataset(
        folder,
        manifest,
        tables["items"],
        users,
        tables["interactions"],
        tables["explanations"],
        tables["candidates"],
    )
