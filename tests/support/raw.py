"""Sources made by hand: histories in, tables of a reader out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from vip5core.data.dataset import MANIFEST, Dataset, images_fingerprint, write_table
from vip5core.data.raw import EXPLANATION_COLUMNS, INTERACTION_COLUMNS, Details, RawData


def raw_histories(histories: Mapping[str, Sequence[str]], explanations: Sequence[tuple] = (), **items: dict) -> RawData:
    """A source in which each user bought the given items, one a second.

    Args:
        histories: user to items, in time order.
        explanations: rows of `EXPLANATION_COLUMNS`.
        items: a column's values by item, over the defaults (title, image).
    """
    names = sorted({item for history in histories.values() for item in history})
    rows = [
        (user, item, second, 5.0) for user, history in histories.items() for second, item in enumerate(history, 100)
    ]
    details = Details(
        items=pd.DataFrame(
            {
                "raw_id": names,
                "title": [items.get("title", {}).get(name, f"thing {name}") for name in names],
                "categories": [["things"] for _ in names],
                "description": "",
                "image": [items.get("image", {}).get(name) for name in names],
                "image_urls": [items.get("image_urls", {}).get(name, []) for name in names],
                "url_pictures": [items.get("url_pictures", {}).get(name, []) for name in names],
            }
        ),
        users=pd.DataFrame({"raw_id": list(histories), "name": [f"buyer {user}" for user in histories]}),
        explanations=pd.DataFrame(list(explanations), columns=EXPLANATION_COLUMNS),
    )
    return RawData(
        source={"name": "by hand"},
        interactions=pd.DataFrame(rows, columns=INTERACTION_COLUMNS),
        details=lambda kept: details,
    )


def raw_times(times: Mapping[str, Mapping[str, int]]) -> RawData:
    """A source in which each user bought the given items at the given times (unix seconds)."""
    raw = raw_histories({user: list(of_user) for user, of_user in times.items()})
    raw.interactions["timestamp"] = [time for of_user in times.values() for time in of_user.values()]
    return raw


def with_further_pictures(dataset: Dataset, further: Mapping[str, Mapping[str, str]]) -> Dataset:
    """The dataset, changed where it lies, with further pictures: raw id to paths and their sha256."""
    items = dataset.items.copy()
    items["further_images"] = [list(further.get(raw_id, {})) for raw_id in items["raw_id"]]
    items["further_sha256"] = [list(further.get(raw_id, {}).values()) for raw_id in items["raw_id"]]
    tables = {**dataset.manifest.tables, "items": write_table(items, "items", dataset.folder)}
    manifest = dataset.manifest.model_copy(update={"tables": tables, "images": images_fingerprint(items)})
    (dataset.folder / MANIFEST).write_text(manifest.model_dump_json(), "utf-8")
    return Dataset.load(dataset.folder)
