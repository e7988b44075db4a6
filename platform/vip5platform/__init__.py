"""Studies and searches of VIP5 on Ray, tracked in MLflow.

A study or search is a declaration; `main` is its command line.
"""

from vip5platform.cli.sweep import main
from vip5platform.declarations import Choice, Factor, Range, Search, Study, choice, factor

__all__ = ["Choice", "Factor", "Range", "Search", "Study", "choice", "factor", "main"]
