"""The files that the authors of VIP5 released."""

from vip5core.data.readers.release.reader import read_release

__all__ = ["read_release"]
