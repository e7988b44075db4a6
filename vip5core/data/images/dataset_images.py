"""Adds images to a dataset that has only their addresses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vip5core.data.dataset import MANIFEST, Dataset, images_fingerprint, write_table
from vip5core.data.images.download import download
from vip5core.data.images.options import MAX_PER_ITEM, DownloadOptions
from vip5core.data.raw import Drop, DropLedger
from vip5core.errors import UserError
from vip5core.progress import Progress, no_progress
from vip5core.storage import replaced_folder, writable_folder

_FURTHER = "further image"


@dataclass(frozen=True)
class AddedImages:
    """What `add_images` has changed.

    Attributes:
        before, now: the number of items with an image, before and after.
        further_before, further: the number of pictures after each item's first, before and after.
        reasons: why other images could not be downloaded: item, url, reason, final (whether the failure is permanent);
            one row for an item without an image, and one for each further picture that was asked for.
    """

    before: int
    now: int
    further_before: int
    further: int
    reasons: pd.DataFrame


@dataclass
class _Wanted:
    """An item that may get pictures.

    Attributes:
        urls: its addresses, best first.
        pictures: the number of the picture that each address shows.
        hashes: the sha256 of the pictures that it has.
        downloaded: the numbers of the pictures that were downloaded, in this run or earlier.
        found: the files of new pictures, with their sha256.
        reasons: for each picture that could not be downloaded the last address, its reason and whether it is final.
    """

    urls: list[str]
    pictures: list[int]
    hashes: set[str]
    downloaded: set[int] = field(default_factory=set)
    found: list[tuple[str, str]] = field(default_factory=list)
    reasons: dict[int, tuple[str, str, bool]] = field(default_factory=dict)

    def can_get(self, per_item: int) -> bool:
        """Does it have fewer pictures than are asked for, and than its addresses show?"""
        return len(self.hashes) < min(per_item, len(set(self.pictures)))

    def asks(self, rank: int, per_item: int) -> bool:
        """Is its address of that rank still needed?"""
        wanted = rank < len(self.urls) and len(self.hashes) < per_item
        return wanted and self.pictures[rank] not in self.downloaded

    def take(self, rank: int, answer: Mapping[Hashable, Any]) -> None:
        """Note what its address of that rank has given; a picture with the content of another counts once."""
        picture = self.pictures[rank]
        self.reasons.pop(picture, None)
        if not isinstance(answer["file"], str):
            self.reasons[picture] = (self.urls[rank], answer["reason"], bool(answer["final"]))
            return
        self.downloaded.add(picture)
        if answer["sha256"] not in self.hashes:
            self.hashes.add(answer["sha256"])
            self.found.append((answer["file"], answer["sha256"]))

    def failures(self, per_item: int) -> list[tuple[str, str, bool]]:
        """Why it lacks pictures: the last reason if it has none, else one for each that it should have had."""
        reasons = list(self.reasons.values())
        if not self.hashes:
            return reasons[-1:]
        return reasons if len(self.hashes) < per_item else []


def add_images(
    folder: Path,
    downloads: Path,
    options: DownloadOptions | None = None,
    progress: Progress = no_progress,
    per_item: int = 1,
) -> AddedImages:
    """Download the images of a dataset's items, and replace the dataset by one that has them.

    An item's addresses are tried in order until so many of them as are asked for have given pictures of different
    content; further addresses of a picture that was downloaded are other sizes of it, and are not requested. The first
    picture stays the first when others are added. The dataset is replaced at the end, by a complete one (by two
    renames: if the process is killed between them, the old one is beside it under a name that ends in `.old`). A run
    that was stopped, or in which downloads failed, can be resumed.

    Args:
        folder: the folder of the dataset.
        downloads: the folder of the files as they were received, with their ledger; several datasets may share it.
        options: how images are requested.
        progress: called with the number of addresses done and of all addresses, separately for the items' first
            addresses, their second ones, and so on.
        per_item: the most pictures of an item.

    Raises:
        UserError: if `folder` is not a dataset, no item has an image address, several pictures are asked for although
            the dataset has addresses of one, or a file cannot be written.
    """
    if not 1 <= per_item <= MAX_PER_ITEM:
        raise UserError(f"per_item={per_item}: must be from 1 to {MAX_PER_ITEM}")
    dataset = Dataset.load(folder)
    writable_folder(dataset.folder.parent, "the folder of the dataset")
    if not dataset.items["image_urls"].map(len).any():
        raise UserError(f"dataset {str(folder)!r}: no item has an image address, so there is nothing to download")
    if per_item > 1 and not dataset.items["url_pictures"].map(len).any():
        raise UserError(
            f"per_item={per_item}: dataset {str(folder)!r} has addresses of one picture of each item; ask for 1, or "
            "prepare it (again) from a source that names several"
        )
    wanted = {item: one for item, one in _items(dataset).items() if one.can_get(per_item)}
    for rank in range(max((len(one.urls) for one in wanted.values()), default=0)):
        asked = {item: one.urls[rank] for item, one in wanted.items() if one.asks(rank, per_item)}
        answers = download(asked.values(), downloads, options, progress).set_index("url").to_dict("index")
        for item, url in asked.items():
            wanted[item].take(rank, answers[url])
    if any(one.found for one in wanted.values()):
        _replace(dataset, downloads, wanted, per_item)
    before, further = (
        int(dataset.items["image_sha256"].notna().sum()),
        int(dataset.items["further_sha256"].map(len).sum()),
    )
    first = sum(len(one.hashes) == len(one.found) > 0 for one in wanted.values())
    new = sum(len(one.found) for one in wanted.values())
    table = pd.DataFrame(
        [(item, *reason) for item, one in wanted.items() for reason in one.failures(per_item)],
        columns=["item", "url", "reason", "final"],
    )
    return AddedImages(before, before + first, further, further + new - first, table)


def _items(dataset: Dataset) -> dict[int, _Wanted]:
    """The items by number, with their addresses and the pictures that they have."""
    items = dataset.items
    return {
        item: _Wanted(
            list(urls),
            list(shown) if len(shown) else [0] * len(urls),
            {first, *further} if isinstance(first, str) else set(),
        )
        for item, urls, shown, first, further in zip(
            items["item"].tolist(),
            items["image_urls"],
            items["url_pictures"],
            items["image_sha256"],
            items["further_sha256"],
            strict=True,
        )
    }


def _replace(dataset: Dataset, downloads: Path, wanted: Mapping[int, _Wanted], per_item: int) -> None:
    """Write the dataset again, with the pictures that were found; unchanged files are linked, not copied."""
    items = dataset.items.copy()
    further, hashes = ([list(row) for row in items[name]] for name in ("further_images", "further_sha256"))
    with replaced_folder(dataset.folder) as folder:
        shutil.copytree(dataset.folder, folder, copy_function=_link, dirs_exist_ok=True)
        for item, one in wanted.items():
            for file, digest in one.found:
                if not isinstance(items.loc[item - 1, "image_sha256"], str):
                    name = f"images/{item:07d}{Path(file).suffix}"
                    items.loc[item - 1, ["image", "image_sha256"]] = [name, digest]
                else:
                    name = f"images/{item:07d}-{len(further[item - 1]) + 2}{Path(file).suffix}"
                    further[item - 1].append(name)
                    hashes[item - 1].append(digest)
                _link(downloads / file, folder / name)
        items["further_images"], items["further_sha256"] = further, hashes
        # Linked files are shared with the old folder until it is removed: replace them, never write to them.
        for name in ("items.parquet", MANIFEST):
            (folder / name).unlink()
        told_again = {"image"} if per_item == 1 else {"image", _FURTHER}
        manifest = dataset.manifest.model_copy(
            update={
                "counts": {**dataset.manifest.counts, "items_with_image": int(items["image_sha256"].notna().sum())},
                "tables": {**dataset.manifest.tables, "items": write_table(items, "items", folder)},
                "images": images_fingerprint(items),
                "drops": [drop for drop in dataset.manifest.drops if drop.what not in told_again]
                + _drops(items, wanted, per_item),
            }
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")


def _drops(items: pd.DataFrame, wanted: Mapping[int, _Wanted], per_item: int) -> list[Drop]:
    """Why items have no image, and why they lack further pictures."""
    ledger = DropLedger()
    for item, raw_id, digest in items[["item", "raw_id", "image_sha256"]].itertuples(index=False):
        reasons = [reason for _, reason, _ in wanted[item].failures(per_item)] if item in wanted else []
        if isinstance(digest, str):
            for reason in reasons:
                ledger.add(_FURTHER, reason, f"item {raw_id}")
        else:
            ledger.add("image", reasons[0] if reasons else "the item has no image", f"item {raw_id}")
    return ledger.drops()


def _link(source: str | Path, target: str | Path) -> None:
    """Link a file, or copy it where a hard link is not possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
