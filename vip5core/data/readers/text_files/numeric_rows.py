"""Interactions of sources that number their users and items."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa

from vip5core.data.raw import INTERACTION_COLUMNS
from vip5core.data.readers.text_files.lines import BadLine

_ROW = np.dtype([("user", np.int64), ("item", np.int64), ("timestamp", np.int64), ("rating", np.float64)])
_NUMBER = re.compile(r"[ \r\n]*[0-9]{1,18}[ \r\n]*")  # of what \s takes, int() does not take all


def number(text: str, problem: str) -> int:
    """A number of up to 18 digits: it fits 64 bits.

    Raises:
        BadLine: saying `problem`.
    """
    if not _NUMBER.fullmatch(text):
        raise BadLine(problem)
    return int(text)


def interactions_of(rows: Iterable[tuple[int, int, int, float]]) -> pd.DataFrame:
    """`INTERACTION_COLUMNS` of rows (user, item, unix seconds, rating), with the ids as text.

    Memory is the table's, 32 bytes a row and the text: the rows themselves are not kept.
    """
    table = np.fromiter(rows, dtype=_ROW)
    columns = {name: pd.Series(table[name]) for name in ("timestamp", "rating")}
    ids = {name: pa.array(table[name]).cast(pa.large_string()).to_pandas() for name in ("user", "item")}
    return pd.DataFrame({**ids, **columns})[INTERACTION_COLUMNS]
