"""The report that answers a study: as a page, as text, on the terminal."""

from vip5platform.report.answer import answer
from vip5platform.report.files import summary, write_report
from vip5platform.report.markdown import note
from vip5platform.report.terminal import show

__all__ = ["answer", "note", "show", "summary", "write_report"]
