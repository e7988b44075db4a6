"""Images for a dataset that knows only where they can be had."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vip5core.data.dataset import MANIFEST, Dataset, write_table
from vip5core.data.images.download import download
from vip5core.data.images.options import DownloadOptions
from vip5core.data.raw import DropLedger
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint
from vip5core.storage import replaced_folder, writable_folder


@dataclass(frozen=True)
class Added:
    """What came of it.

    Attributes:
        before, now: items with an image.
        reasons: of the items that should have one and do not: item, url, reason, final (asking again is pointless).
    """

    before: int
    now: int
    reasons: pd.DataFrame


def add_images(
    folder: Path,
    downloads: Path,
    options: DownloadOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Added:
    """Download what the items of a dataset name, and put the dataset with its images in the place of the one without.

    Of an item's addresses the first that gives an image counts. The dataset is exchanged at the end, for a whole one
    (by two renames: killed between them, the old one lies beside its place, its name ending in `.old`). A run that was
    stopped goes on where it was; so does one after images failed.

    Args:
        folder: of the dataset.
        downloads: the files as they came, and the ledger; may serve several datasets.
        options: how to ask.
        progress: called with addresses done and to do, anew for the second and third choices.

    Raises:
        UserError: if `folder` is no dataset, no item names an image, or something cannot be written.
    """
    dataset = Dataset.load(folder)
    writable_folder(dataset.folder.parent, "the folder of the dataset")
    lacking = dataset.items[dataset.items["image_sha256"].isna()]
    choices = {item: list(urls) for item, urls in zip(lacking["item"], lacking["image_urls"], strict=True) if len(urls)}
    if not choices and not dataset.items["image_urls"].map(len).any():
        raise UserError(f"dataset {str(folder)!r}: no item says where an image of it can be had: nothing to download")
    found: dict[int, tuple[str, str]] = {}
    reasons: dict[int, tuple[str, str, bool]] = {}
    for rank in range(max(map(len, choices.values()), default=0)):
        asked = {item: urls[rank] for item, urls in choices.items() if item not in found and rank < len(urls)}
        answers = download(asked.values(), downloads, options, progress).set_index("url")
        for item, url in asked.items():
            answer = answers.loc[url]
            if isinstance(answer["file"], str):
                found[item] = (answer["file"], answer["sha256"])
                reasons.pop(item, None)
            else:
                reasons[item] = (url, answer["reason"], bool(answer["final"]))
    if found:
        _replace(dataset, downloads, found, reasons)
    before = dataset.n_items - len(lacking)
    table = pd.DataFrame(
        [(item, *reason) for item, reason in sorted(reasons.items())], columns=["item", "url", "reason", "final"]
    )
    return Added(before, before + len(found), table)


def _replace(
    dataset: Dataset,
    downloads: Path,
    found: dict[int, tuple[str, str]],
    reasons: dict[int, tuple[str, str, bool]],
) -> None:
    """Write the dataset anew with the images in `found`; what did not change is linked, not copied."""
    items = dataset.items.copy()
    with replaced_folder(dataset.folder) as folder:
        shutil.copytree(dataset.folder, folder, copy_function=_link, dirs_exist_ok=True)
        for item, (file, digest) in found.items():
            name = f"images/{item:07d}{Path(file).suffix}"
            _link(downloads / file, folder / name)
            items.loc[item - 1, ["image", "image_sha256"]] = [name, digest]
        # Linked files are shared with the old folder until it goes: replaced, never written to.
        for name in ("items.parquet", MANIFEST):
            (folder / name).unlink()
        ledger = DropLedger()
        for item, raw_id in items.loc[items["image_sha256"].isna(), ["item", "raw_id"]].itertuples(index=False):
            reason = reasons[item][1] if item in reasons else "the item has no image"
            ledger.add("image", reason, f"item {raw_id}")
        manifest = dataset.manifest.model_copy(
            update={
                "counts": {**dataset.manifest.counts, "items_with_image": int(items["image_sha256"].notna().sum())},
                "tables": {**dataset.manifest.tables, "items": write_table(items, "items", folder)},
                "images": fingerprint([None if pd.isna(digest) else digest for digest in items["image_sha256"]]),
                "drops": [drop for drop in dataset.manifest.drops if drop.what != "image"] + ledger.drops(),
            }
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")


def _link(source: str | Path, target: str | Path) -> None:
    """A second name for a file, or a copy where the file system has no links (or another one holds the file)."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
