"""Adds images to a dataset that has only their addresses."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vip5core.data.dataset import MANIFEST, Dataset, write_table
from vip5core.data.images.download import download
from vip5core.data.images.options import DownloadOptions
from vip5core.data.raw import DropLedger
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint
from vip5core.progress import Progress, no_progress
from vip5core.storage import replaced_folder, writable_folder


@dataclass(frozen=True)
class AddedImages:
    """What `add_images` has changed.

    Attributes:
        before, now: the number of items with an image, before and after.
        reasons: why images of other items could not be downloaded: item, url, reason, final (whether the failure is
            permanent).
    """

    before: int
    now: int
    reasons: pd.DataFrame


def add_images(
    folder: Path,
    downloads: Path,
    options: DownloadOptions | None = None,
    progress: Progress = no_progress,
) -> AddedImages:
    """Download the images of a dataset's items, and replace the dataset by one that has them.

    An item's addresses are tried in order until one gives an image. The dataset is replaced at the end, by a complete
    one (by two renames: if the process is killed between them, the old one is beside it under a name that ends in
    `.old`). A run that was stopped, or in which downloads failed, can be resumed.

    Args:
        folder: the folder of the dataset.
        downloads: the folder of the files as they were received, with their ledger; several datasets may share it.
        options: how images are requested.
        progress: called with the number of addresses done and of all addresses, separately for the items' first
            addresses, their second ones, and so on.

    Raises:
        UserError: if `folder` is not a dataset, no item has an image address, or a file cannot be written.
    """
    dataset = Dataset.load(folder)
    writable_folder(dataset.folder.parent, "the folder of the dataset")
    lacking = dataset.items[dataset.items["image_sha256"].isna()]
    choices = {item: list(urls) for item, urls in zip(lacking["item"], lacking["image_urls"], strict=True) if len(urls)}
    if not choices and not dataset.items["image_urls"].map(len).any():
        raise UserError(f"dataset {str(folder)!r}: no item has an image address, so there is nothing to download")
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
    return AddedImages(before, before + len(found), table)


def _replace(
    dataset: Dataset,
    downloads: Path,
    found: dict[int, tuple[str, str]],
    reasons: dict[int, tuple[str, str, bool]],
) -> None:
    """Write the dataset again, with the images in `found`; unchanged files are linked, not copied."""
    items = dataset.items.copy()
    with replaced_folder(dataset.folder) as folder:
        shutil.copytree(dataset.folder, folder, copy_function=_link, dirs_exist_ok=True)
        for item, (file, digest) in found.items():
            name = f"images/{item:07d}{Path(file).suffix}"
            _link(downloads / file, folder / name)
            items.loc[item - 1, ["image", "image_sha256"]] = [name, digest]
        # Linked files are shared with the old folder until it is removed: replace them, never write to them.
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
    """Link a file, or copy it where a hard link is not possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
