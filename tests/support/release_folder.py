"""A tiny folder in the form of VIP5's release, with all its parts."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: Raw item ids by number: in another order, as in the release.
ITEM_OF = {number: f"B{number * 5 % 13:02d}" for number in range(1, 13)}
USER_OF = {number: f"U{9 - number}" for number in range(1, 9)}
#: By user number, item numbers in time order.
HISTORIES = {user: [(user + step) % 12 + 1 for step in range(6)] for user in USER_OF}
#: By user number, the item numbers to rank the held-out item against.
NEGATIVES = {user: [(user + step) % 12 + 1 for step in (11, 9, 7)] for user in USER_OF}
#: Encoder, the release's name of it, and a width (not the real one).
ENCODERS = {"ViT-B/32": ("vitb32", 6), "RN50": ("rn50", 4)}


def explanation(user: int, item: int, **more: object) -> dict[str, object]:
    """A row of `exp_splits.pkl`, by numbers."""
    return {
        "reviewerID": USER_OF[user],
        "asin": ITEM_OF[item],
        "reviewText": "Much more of it.",
        "overall": 4.0,
        "summary": f"From {user}",
        "feature": "color",
        "explanation": f"the color of {item} is great for {user}",
        **more,
    }


def explanations() -> dict[str, list[dict[str, object]]]:
    """Each in the split of its interaction."""
    return {
        "train": [explanation(user, item) for user, history in HISTORIES.items() for item in history[:-2]],
        "val": [explanation(user, history[-2]) for user, history in HISTORIES.items()],
        "test": [explanation(user, history[-1]) for user, history in HISTORIES.items()],
    }


def numbers(rows: Mapping[int, Sequence[int]]) -> bytes:
    """A user a line, then items."""
    return "".join(f"{user} {' '.join(map(str, items))}\n" for user, items in rows.items()).encode()


def vector_of(encoder: str, number: int) -> np.ndarray:
    """The provided feature of item `number`."""
    return np.arange(ENCODERS[encoder][1], dtype=np.float32) + 100 * number


def npy(array: object, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def feature_file(encoder: str, number: int) -> str:
    return f"features/{ENCODERS[encoder][0]}_features/toys/{ITEM_OF[number]}.npy"


def release_files(protocol: int = 4) -> dict[str, bytes]:
    """Every file by its path in the folder; pickles in the given protocol."""
    maps: dict[str, Any] = {
        "id2user": {str(number): raw_id for number, raw_id in USER_OF.items()},
        "user2id": {raw_id: str(number) for number, raw_id in USER_OF.items()},
        "id2item": {str(number): raw_id for number, raw_id in ITEM_OF.items()},
        "item2id": {raw_id: str(number) for number, raw_id in ITEM_OF.items()},
    }
    meta = [
        {
            "asin": raw_id,
            "title": f"Thing {number}",
            "imUrl": f"http://x/{raw_id}.jpg",
            "categories": [["Toys & Games", "Puzzles"]],
            "description": f"What {number} is.",
        }
        for number, raw_id in ITEM_OF.items()
    ]
    return {
        "sequential_data.txt": numbers(HISTORIES),
        "datamaps.json": json.dumps(maps, indent=4).encode(),
        "user_id2name.pkl": pickle.dumps({str(user): f"Name {user}" for user in USER_OF}, protocol),
        "exp_splits.pkl": pickle.dumps(explanations(), protocol),
        "negative_samples.txt": numbers(NEGATIVES),
        "meta.json.gz": gzip.compress("".join(f"{row!r}\n" for row in meta).encode(), mtime=0),
        "item2img_dict.pkl": pickle.dumps({raw_id: f"{raw_id}.jpg" for raw_id in ITEM_OF.values()}, protocol),
        **{f"photos/{raw_id}.jpg": f"image of {number}".encode() for number, raw_id in ITEM_OF.items()},
        **{
            feature_file(encoder, number): npy(vector_of(encoder, number)) for encoder in ENCODERS for number in ITEM_OF
        },
    }
