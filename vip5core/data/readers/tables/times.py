"""Reads the times of a user's table: numbers since 1970, dates as text, or timestamps.

All of a column is read in the same way: as the mapping says, or as most of its values look. A value of another form is
a problem of its row.

Numbers count from 1970 (UTC). By magnitude, values below 1e11 are seconds, below 1e14 milliseconds, below 1e17
microseconds, and nanoseconds from there: each unit begins in 1973, and seconds end in the year 5138. Text is ISO 8601
(`2021-04-03`, `2021-04-03 10:15:00.25`, `2021-04-03T10:15:00+02:00`, or with slashes), or as a strptime format says,
and UTC if it has no time zone. Dates like 03/04/2021 are ambiguous and never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from vip5core.data.readers.tables.files import as_text
from vip5core.data.readers.tables.mapping import TimeUnit
from vip5core.errors import UserError

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_UNITS: tuple[TimeUnit, ...] = ("s", "ms", "us", "ns")
_UNIT_BOUNDS = (10**11, 10**14, 10**17)
#: Years 1 to 9999, in seconds.
_EARLIEST, _LATEST = -62_135_596_800, 253_402_300_799

_NUMBER = r"^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$"
_ISO = r"^\d{4}(-\d{1,2}-\d{1,2}|/\d{1,2}/\d{1,2}|\d{4})([T ].*)?$"
_AMBIGUOUS = re.compile(r"\d{1,2}([/.-])\d{1,2}\1(\d{2}|\d{4})\b")
#: Texts are parsed as dates in slices of this many, because each becomes an object.
_SLICE = 500_000

UNREADABLE = "unreadable time"
OTHER_UNIT = "time in another unit than most of the column"


@dataclass(frozen=True)
class Times:
    """The times of a column. Shape of all arrays: [rows].

    Attributes:
        seconds: the unix seconds, rounded down.
        nanoseconds: the remainder, which orders the rows of one second.
        problems: which rows have no valid time, by reason; their seconds are meaningless.
        read_as: how the column was read, for the manifest.
    """

    seconds: np.ndarray
    nanoseconds: np.ndarray
    problems: dict[str, np.ndarray]
    read_as: str

    @property
    def good(self) -> np.ndarray:
        return ~np.any([np.zeros(len(self.seconds), dtype=bool), *self.problems.values()], axis=0)


def read_times(column: pa.ChunkedArray, name: str, unit: TimeUnit | None = None, pattern: str | None = None) -> Times:
    """Read a whole column of times.

    Args:
        column: the column, of text, numbers, dates or timestamps, without missing values and not dictionary-encoded.
        name: the name of the column, for errors.
        unit: the unit of numbers, or `date`; None to guess it from the values.
        pattern: the strptime format of dates.

    Raises:
        UserError: if the type or the pattern is not one of times, or numbers look like dates (20210403).
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        stored = kind.unit if pa.types.is_timestamp(kind) else "s" if pa.types.is_date32(kind) else "ms"
        return _convert_counts(column.cast(pa.timestamp(stored)).cast(pa.int64()).to_numpy(), stored, "timestamps")
    every = np.ones(len(column), dtype=bool)
    if unit != "date" and not pattern:
        if pa.types.is_signed_integer(kind):
            return _read_numbers(column.cast(pa.int64()).to_numpy(), every, name, unit)
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return _read_numbers(column.cast(pa.float64()).to_numpy(), every, name, unit)
    texts = pa.chunked_array([pa.array(as_text(chunk, name), pa.large_string()) for chunk in column.chunks])
    if unit == "date" or pattern:
        return _read_dates(texts, pattern, every)
    numeric = pc.match_substring_regex(texts, _NUMBER).to_numpy()
    dated = pc.match_substring_regex(texts, _ISO).to_numpy() & ~numeric
    if unit is None and dated.sum() > numeric.sum():
        return _read_dates(texts, None, dated)
    return _read_numbers(_parse_numbers(texts, numeric), numeric, name, unit)


def _parse_numbers(texts: pa.ChunkedArray, numeric: np.ndarray) -> np.ndarray:
    """Parse as int64 if all are whole, so that nanoseconds are exact, and else as float64; 0 if not numeric."""
    texts = pc.if_else(pa.chunked_array([numeric]), texts, "0")
    try:
        return texts.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return pd.to_numeric(texts.to_pandas(), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def may_be_day_or_month_first(text: str) -> bool:
    """Whether a date has its year last, so that it is ambiguous which of the other numbers is the month."""
    return _AMBIGUOUS.match(text.strip()) is not None


def _read_numbers(values: np.ndarray, readable: np.ndarray, name: str, unit: TimeUnit | None) -> Times:
    readable = readable & np.isfinite(values)
    problems = {UNREADABLE: ~readable}
    if unit is None:
        classes = np.digitize(np.abs(values), _UNIT_BOUNDS)
        counts = np.bincount(classes[readable], minlength=len(_UNITS))
        problems[OTHER_UNIT] = readable & (classes != counts.argmax())
        unit = _UNITS[int(counts.argmax())]
        readable = readable & ~problems[OTHER_UNIT]
        if unit == "s" and _are_calendar_dates(values[readable]):
            raise UserError(
                f"column {name!r}: its numbers look like dates ({int(values[readable][0])}): set time_unit: date in "
                "columns.yaml, or time_unit: s if they are seconds"
            )
    values = np.where(readable, values, 0)
    return _convert_counts(values, unit, f"numbers in {unit}", problems)


def _are_calendar_dates(values: np.ndarray) -> bool:
    """Whether all look like 20210403; as seconds, they would all be in 1970."""
    year, month, day = values // 10_000, values // 100 % 100, values % 100
    plausible = (year >= 1900) & (year <= 2100) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool(len(values)) and bool(np.all(plausible & (values % 1 == 0)))


def _convert_counts(
    values: np.ndarray, unit: str, read_as: str, problems: dict[str, np.ndarray] | None = None
) -> Times:
    """Convert numbers since 1970 to times."""
    per_second = _PER_SECOND[unit]
    seconds = np.floor_divide(values, per_second)
    possible = (seconds >= _EARLIEST) & (seconds <= _LATEST)
    nanoseconds = np.where(possible, values - seconds * per_second, 0) * (10**9 // per_second)
    problems = dict(problems or {})
    problems[UNREADABLE] = problems.get(UNREADABLE, np.zeros(len(values), dtype=bool)) | ~possible
    seconds = np.where(possible, seconds, 0)
    return Times(seconds.astype(np.int64), nanoseconds.astype(np.int64), problems, read_as)


def _read_dates(texts: pa.ChunkedArray, pattern: str | None, readable: np.ndarray) -> Times:
    """Read times from text, as ISO 8601 or by `pattern`."""
    seconds = np.zeros(len(texts), dtype=np.int64)
    nanoseconds = np.zeros(len(texts), dtype=np.int64)
    # pandas also accepts `now` and `today`, whatever the format
    readable = readable & pc.match_substring_regex(texts, r"\d" if pattern else _ISO).to_numpy()
    if pattern is None:
        texts = pc.replace_substring_regex(texts, r"(\d),(\d)", r"\1.\2")
        texts = pc.replace_substring_regex(texts, r" ?(UTC|GMT)$", "Z")
    for start in range(0, len(texts), _SLICE):
        part = slice(start, start + _SLICE)
        parsed = _parse_dates(texts.slice(start, _SLICE).to_pandas(), pattern)
        readable[part] &= parsed.notna().to_numpy()
        times = _convert_counts(parsed.dt.tz_localize(None).to_numpy().view(np.int64), parsed.dt.unit, "")
        seconds[part], nanoseconds[part] = times.seconds, times.nanoseconds
    return Times(seconds, nanoseconds, {UNREADABLE: ~readable}, f"dates {pattern or 'ISO 8601'}, UTC without a zone")


def _parse_dates(texts: pd.Series, pattern: str | None) -> pd.Series:
    try:
        return pd.to_datetime(texts, format=pattern or "ISO8601", utc=True, errors="coerce")
    except (ValueError, re.error) as error:
        raise UserError(
            f"time_format={pattern!r}: {error}: write it as for strptime, such as '%d/%m/%Y %H:%M'"
        ) from None
