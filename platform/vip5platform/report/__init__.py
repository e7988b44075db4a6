"""The report that answers a study: as a page, as text, on the terminal."""

from vip5platform.report.files import summary, write_report
from vip5platform.report.render.markdown import note
from vip5platform.report.render.terminal import show
from vip5platform.report.sections.answer import answer

__all__ = ["answer", "note", "show", "summary", "write_report"]
