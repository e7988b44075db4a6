"""The preprocessed folder that VIP5's authors released, and P5's before it.

    sequential_data.txt    user number and item numbers in time order, one user per line (or `sequential.txt`)
    datamaps.json          id2user and id2item: numbers to raw ids
    user_id2name.pkl       user number to name (optional, and so is all that follows)
    exp_splits.pkl         train, val and test: explanations by review
    negative_samples.txt   user number and the item numbers that the held-out item is ranked against
    meta.json.gz           the items, as in the Amazon dump of 2014
    item2img_dict.pkl      raw item id to image file
    features/{encoder}_features/[{category}/]{raw item id}.npy

Its item numbers follow the users' histories, test items included (`vip5core.data.leak`): the id scheme `provided` keeps
them, and marks the dataset as leaky.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vip5core.data.raw import (
    EXPLANATION_COLUMNS,
    Details,
    DropLedger,
    Provided,
    RawData,
    ReadRequest,
    describe_items_and_users,
)
from vip5core.data.readers.item_texts import MAX_TITLE, read_items, strings, strip_markup, text_of
from vip5core.data.readers.release.plain_pickle import load_plain_pickle
from vip5core.data.readers.text_files.lines import BadLine, read_lines
from vip5core.errors import UserError

#: The release's names of the encoders.
_ENCODERS = {"rn50": "RN50", "rn101": "RN101", "vitb32": "ViT-B/32", "vitb16": "ViT-B/16", "vitl14": "ViT-L/14"}
#: Bytes of the longest image file name that is looked up; file systems allow hardly more.
_MAX_NAME = 200
_SPLITS = {"train": "train", "val": "valid", "test": "test"}


def read_release(request: ReadRequest) -> RawData:
    """Read one released category.

    Args:
        request: its folder holds the files; its part names the folder of features, if there are several (`toys`,
            `beauty`, …), and may be empty otherwise.

    Raises:
        UserError: if the sequences or the maps are missing or unreadable, or a pickle contains more than plain data.
    """
    folder, category = request.folder, request.part
    ledger = DropLedger()
    user_of, item_of = _read_maps(folder / "datamaps.json")
    sequences = _find_first(folder, "sequential_data.txt", "sequential.txt")
    interactions = _read_interactions(sequences, user_of, item_of, ledger)
    provided = Provided(
        item_ids={raw_id: number for number, raw_id in item_of.items()},
        negatives=_read_negatives(folder / "negative_samples.txt", user_of, item_of, ledger),
        features=_find_features(folder / "features", category, set(item_of.values())),
    )
    return RawData(
        source={"name": request.name, "category": category},
        interactions=interactions,
        details=lambda kept: _read_details(folder, kept, user_of, ledger),
        ledger=ledger,
        provided=provided,
        has_times=False,
    )


def _find_first(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{str(folder / names[0])!r} is missing: --source must be a folder of the release")


def _read_maps(path: Path) -> tuple[dict[int, str], dict[int, str]]:
    """The raw ids of users and items, by number."""
    try:
        maps = json.loads(path.read_text("utf-8"))
        both = [{int(number): raw_id for number, raw_id in maps[key].items()} for key in ("id2user", "id2item")]
    except FileNotFoundError:
        raise UserError(f"{str(path)!r} is missing: --source must be a folder of the release") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{str(path)!r} has no mappings id2user and id2item from numbers to raw ids ({type(error).__name__}): "
            "download it again"
        ) from None
    for kind, names in zip(("user", "item"), both, strict=True):
        odd = [name for name in names.values() if not _is_id(name)]
        if odd or len(set(names.values())) < len(names):
            example = f", not {reprlib.repr(odd[0])}" if odd else ""
            raise UserError(f"{str(path)!r}: raw {kind} ids must be distinct strings{example}: download it again")
    return both[0], both[1]


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _parse_numbers(line: str) -> list[int]:
    try:
        return [int(word) for word in line.split()]
    except ValueError:
        raise BadLine("not numbers separated by spaces") from None


def _read_interactions(
    path: Path, user_of: dict[int, str], item_of: dict[int, str], ledger: DropLedger
) -> pd.DataFrame:
    """The sequences as interactions; they have no times, so the timestamp is the position in the history."""

    seen: set[int] = set()

    def parse(line: str) -> list[int]:
        user, *items = _parse_numbers(line)
        if user in seen:
            raise BadLine("second sequence of its user")
        if user not in user_of:
            raise BadLine("its user is not in datamaps.json")
        if not set(items) <= item_of.keys():
            raise BadLine("one of its items is not in datamaps.json")
        seen.add(user)
        return [user, *items]

    users: list[str] = []
    items: list[str] = []
    places: list[int] = []
    for user, *history in read_lines(path, parse, ledger, "sequence"):
        users += [user_of[user]] * len(history)
        items += [item_of[item] for item in history]
        places += range(len(history))
    return pd.DataFrame(
        {
            "user": pd.Series(users, dtype="str"),
            "item": pd.Series(items, dtype="str"),
            "timestamp": np.array(places, dtype=np.int64),
            "rating": math.nan,
        }
    )


def _read_negatives(
    path: Path, user_of: dict[int, str], item_of: dict[int, str], ledger: DropLedger
) -> dict[str, list[str]]:
    if not path.is_file():
        return {}
    negatives: dict[str, list[str]] = {}
    for user, *items in read_lines(path, _parse_numbers, ledger, "list of negatives"):
        if user not in user_of or user_of[user] in negatives:
            ledger.add("list of negatives", "its user is unknown, or has a list already", f"user {user}")
            continue
        unknown = sum(item not in item_of for item in items)
        if unknown:
            ledger.add("negative", "not in datamaps.json", f"user {user}", count=unknown)
        negatives[user_of[user]] = [item_of[item] for item in items if item in item_of]
    return negatives


def _find_features(folder: Path, category: str, raw_ids: set[str]) -> dict[str, dict[str, Path]]:
    """The files of features, by encoder and raw item id. They are found by listing folders: a raw id never becomes part
    of a path."""
    features = {}
    for short, encoder in _ENCODERS.items():
        place = folder / f"{short}_features"
        if not place.is_dir():
            continue
        parts = sorted(path for path in place.iterdir() if path.is_dir())
        names = ", ".join(path.name for path in parts)
        if category and parts:
            parts = [path for path in parts if path.name == category]
            if not parts:
                raise UserError(f"vip5-release:{category}: {str(place)!r} has only {names}: choose one of these")
        if len(parts) > 1:
            raise UserError(f"{str(place)!r} has several categories ({names}): choose one as vip5-release:CATEGORY")
        files = (parts[0] if parts else place).glob("*.npy")
        found = {path.stem: path for path in sorted(files) if path.stem in raw_ids}
        if found:
            features[encoder] = found
    return features


def _read_details(folder: Path, kept: pd.DataFrame, user_of: Mapping[int, str], ledger: DropLedger) -> Details:
    items: dict[str, dict[str, Any]] = {}
    meta = next((folder / name for name in ("meta.json.gz", "meta.json") if (folder / name).is_file()), None)
    if meta is not None:
        items = read_items(
            meta, "asin", set(kept["item"]), lambda item: [(0, url) for url in strings(item.get("imUrl"))], ledger
        )
    for raw_id, image in _find_images(folder, set(kept["item"]), ledger).items():
        items.setdefault(raw_id, {})["image"] = image
    item_table, user_table = describe_items_and_users(kept, items, _read_names(folder / "user_id2name.pkl", user_of))
    order = {raw_id: number for number, raw_id in user_of.items()}
    user_table = user_table.sort_values("raw_id", key=lambda names: names.map(order), ignore_index=True)
    return Details(item_table, user_table, _read_explanations(folder / "exp_splits.pkl", ledger))


def _read_names(path: Path, user_of: Mapping[int, str]) -> dict[str, str]:
    names = load_plain_pickle(path) if path.is_file() else {}
    if not isinstance(names, dict):
        raise UserError(f"{str(path)!r} does not map user numbers to names: download it again")
    return {raw_id: text_of(names.get(str(number), names.get(number))) for number, raw_id in user_of.items()}


def _find_images(folder: Path, raw_ids: set[str], ledger: DropLedger) -> dict[str, Path]:
    """Find the images: inside the folder at the mapped path, or under their file name in `images/` or `photos/`."""
    path = folder / "item2img_dict.pkl"
    files = load_plain_pickle(path) if path.is_file() else {}
    if not isinstance(files, dict):
        raise UserError(f"{str(path)!r} does not map items to images: download it again")
    found = {}
    for raw_id, name in files.items():
        if raw_id not in raw_ids or not isinstance(name, str):
            continue
        place = _find_image(folder, name)
        if place is None:
            ledger.add("image", f"listed in {path.name}, but not in the folder", f"item {raw_id}")
        else:
            found[raw_id] = place
    return found


def _find_image(folder: Path, name: str) -> Path | None:
    last = Path(name).name
    if not name.isprintable() or len(last.encode()) > _MAX_NAME:
        return None
    for place in (folder / name, folder / "images" / last, folder / "photos" / last):
        try:
            if place.is_file() and place.resolve().is_relative_to(folder.resolve()):
                return place
        except OSError:  # such as a path that is too long
            continue
    return None


def _read_explanations(path: Path, ledger: DropLedger) -> pd.DataFrame:
    """The explanations, in the splits of the release."""
    if not path.is_file():
        return pd.DataFrame(columns=EXPLANATION_COLUMNS)
    splits = load_plain_pickle(path)
    if not (isinstance(splits, dict) and all(isinstance(splits.get(name), list) for name in _SPLITS)):
        raise UserError(f"{str(path)!r} lacks the lists train, val and test: download it again")
    rows = []
    for name, split in _SPLITS.items():
        for place, row in enumerate(splits[name]):
            try:
                user, item, rating = row["reviewerID"], row["asin"], float(row["overall"])
                texts = [row.get(key, "") for key in ("summary", "feature", "explanation")]
                if not (_is_id(user) and _is_id(item) and all(isinstance(text, str) for text in texts)):
                    raise ValueError
                if not 1 <= rating <= 5:
                    raise ValueError
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
                ledger.add(
                    "explanation", "user, item, rating or text is missing or invalid", f"{path.name} {name} row {place}"
                )
                continue
            summary, aspect, explanation = map(text_of, texts)
            rows.append((user, item, rating, strip_markup(summary, MAX_TITLE), aspect, explanation, split))
    return pd.DataFrame(rows, columns=EXPLANATION_COLUMNS)
