"""MovieLens 100K, 1M and the releases in CSV."""

from vip5core.data.readers.movielens.reader import read_movielens_1m, read_movielens_100k, read_movielens_latest

__all__ = ["read_movielens_1m", "read_movielens_100k", "read_movielens_latest"]
