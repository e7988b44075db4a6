"""CSV and Parquet tables of one's own, with a mapping of their columns."""

from vip5core.data.readers.tables.files import as_text
from vip5core.data.readers.tables.pictures import picture_root
from vip5core.data.readers.tables.reader import read_tables
from vip5core.data.readers.tables.times import read_times

__all__ = ["as_text", "picture_root", "read_tables", "read_times"]
