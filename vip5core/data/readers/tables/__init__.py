"""CSV and Parquet tables of one's own, with a mapping of their columns."""

from vip5core.data.readers.tables.pictures import picture_root
from vip5core.data.readers.tables.reader import read_tables

__all__ = ["picture_root", "read_tables"]
