"""minimart: a synthetic shop whose truth is known, generated on the spot."""

from vip5core.data.readers.minimart.reader import read_minimart

__all__ = ["read_minimart"]
