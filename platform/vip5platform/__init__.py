"""The fleet: studies of VIP5 on Ray, recorded by MLflow.

A study is a declaration; `main` is its command line.
"""

from vip5platform.cli import main
from vip5platform.study import Factor, Study, factor

__all__ = ["Factor", "Study", "factor", "main"]
