"""Amazon reviews of 2014, 2018 and 2023, with explanations found in the reviews' text."""

from vip5core.data.readers.amazon.reader import CATEGORIES, read_amazon

__all__ = ["CATEGORIES", "read_amazon"]
