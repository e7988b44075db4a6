"""What the fields of prompts say: the texts of a dataset, which `PromptTables` tokenises and `words` puts in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np

from vip5core.data.dataset import Dataset
from vip5core.wording.sample import Sample

#: The answers to a yes/no question: to a false one, to a true one.
ANSWERS = ("no", "yes")
#: The ratings in ascending order.
RATINGS = ("1", "2", "3", "4", "5")

#: The table of each field that is a column of one, in which it has the same name.
_TABLES = {
    "title": "items",
    "name": "users",
    "summary": "explanations",
    "aspect": "explanations",
    "explanation": "explanations",
}


def id_token(token: int) -> str:
    """A token that item ids are made of, by its number; the form is that of T5's own additional tokens."""
    return f"<id_{token}>"


def item_id(dataset: Dataset, item: int) -> str:
    """What stands for an item, one word: its number, or the tokens of its id without spaces between them."""
    if not dataset.n_id_tokens:
        return str(item)
    return _join(dataset.items["id_tokens"].to_numpy()[item - 1])


def item_ids(dataset: Dataset) -> list[str]:
    """What stands for each item, from item 1 on."""
    if not dataset.n_id_tokens:
        return [str(item) for item in dataset.items["item"]]
    return [_join(tokens) for tokens in dataset.items["id_tokens"]]


def _join(tokens: Iterable[int]) -> str:
    return "".join(map(id_token, tokens))


def user_id(user: int) -> str:
    """What stands for a user."""
    return f"user_{user}"


def stars(ratings: np.ndarray) -> np.ndarray:
    """Ratings as whole stars, from 1 to 5. Shape: [R] to [R], int64."""
    return np.clip(np.rint(ratings), 1, 5).astype(np.int64)


def field_text(field: str, sample: Sample, dataset: Dataset) -> str:
    """What a field says that is neither a list nor an image."""
    match field:
        case "user":
            return user_id(sample.user)
        case "item":
            return item_id(dataset, sample.item)
        case "answer":
            return ANSWERS[sample.answer]
        case "rating":
            rating = dataset.explanations["rating"].to_numpy()[sample.explanation_row]
            return RATINGS[stars(rating) - 1]
    table = _TABLES[field]
    row = {"items": sample.item - 1, "users": sample.user - 1, "explanations": sample.explanation_row}[table]
    return cast(str, getattr(dataset, table)[field].iat[row])


def dataset_texts(dataset: Dataset) -> dict[str, list[str]]:
    """Every text of a dataset that a prompt or target can show, by field and row."""
    columns = {field: getattr(dataset, table)[field].tolist() for field, table in _TABLES.items()}
    return {
        "item": item_ids(dataset),
        "user": [user_id(user) for user in dataset.users["user"]],
        **columns,
    }
