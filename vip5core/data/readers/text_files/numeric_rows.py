"""Reads interactions of sources that number their users and items."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa

from vip5core.data.raw import INTERACTION_COLUMNS
from vip5core.data.readers.text_files.lines import BadLine

_ROW = np.dtype([("user", np.int64), ("item", np.int64), ("timestamp", np.int64), ("rating", np.float64)])
_NUMBER = re.compile(r"[ \r\n]*[0-9]{1,18}[ \r\n]*")  # \s matches more than int() accepts


def parse_number(text: str, problem: str) -> int:
    """Parse a number of up to 18 digits, which fits 64 bits.

    Raises:
        BadLine: with the text `problem`, if it is something else.
    """
    if not _NUMBER.fullmatch(text):
        raise BadLine(problem)
    return int(text)


def to_interactions(rows: Iterable[tuple[int, int, int, float]]) -> pd.DataFrame:
    """Make a table with `INTERACTION_COLUMNS` of rows (user, item, unix seconds, rating), with the ids as text.

    Memory is that of the table, 32 bytes per row and the text: the rows themselves are not kept.
    """
    table = np.fromiter(rows, dtype=_ROW)
    columns = {name: pd.Series(table[name]) for name in ("timestamp", "rating")}
    ids = {name: pa.array(table[name]).cast(pa.large_string()).to_pandas() for name in ("user", "item")}
    return pd.DataFrame({**ids, **columns})[INTERACTION_COLUMNS]
