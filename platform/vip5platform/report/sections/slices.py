"""Results by slice: users whose target is cold, in the tail or in the head, and users with short or long histories."""

from __future__ import annotations

from vip5core.metrics import SLICES, answer_names, metric
from vip5core.vocabulary import RANKING_TASKS
from vip5platform.analysis.results import DatasetResults, StudyResults
from vip5platform.report.blocks import Block, Cell, Column, Row, Text
from vip5platform.report.sections.plain_table import PlainTable, measured

TITLE = "By item and history"

#: Slices of fewer users are marked.
_FEW = 30
_MARK = "†"


def blocks(study: StudyResults) -> list[Block]:
    """One table with the main ranking metric of each task, over the users of each slice."""
    main = measured(study, [name for name in answer_names() if metric(name).group in RANKING_TASKS])
    if study.record.kind == "search" or not main:
        return []
    names = [_name(whole, part) for whole in main for part in SLICES]
    if not measured(study, names):
        return [Text("Not recorded: the code that ran these trials did not know slices.", "note")]
    columns = [Column(part.words, f"{metric(whole).title} by {part.by}") for whole in main for part in SLICES.values()]
    table = PlainTable(columns, names, above=lambda group: [_users(group, names)], mark=_mark)
    return [table.of(study, _notes(study, names))]


def _name(whole: str, part: str) -> str:
    """The full name of a metric in a slice: `test/sequential/cold/ndcg_at_10`."""
    split, task, own = whole.split("/")
    return f"{split}/{task}/{part}/{own}"


def _count(group: DatasetResults, name: str) -> int:
    """The users that a metric is the mean over; 0 if nobody is in its slice."""
    return max((len(units) for cell in group.cells for units in cell.units(name).values()), default=0)


def _users(group: DatasetResults, names: list[str]) -> Row:
    return Row("users", [Cell(f"{_count(group, name):,}") for name in names], "aside")


def _mark(group: DatasetResults, name: str) -> str:
    return _MARK if 0 < _count(group, name) < _FEW else ""


def _notes(study: StudyResults, names: list[str]) -> list[str]:
    over = "users and seeds" if study.seeds > 1 else "users only (one seed)"
    notes = [
        "Cold: the target is not in the training part; head: it is one of the most frequent items that make up half of "
        "it; tail: any other. Short: at most as many training interactions as the median user; long: more.",
        f"±: half-width of the 95 % interval over {over}. Levels are not tested here: the more slices, the more "
        "differences by chance.",
    ]
    if any(_mark(group, name) for group in study.groups for name in names):
        notes.append(f"{_MARK}: fewer than {_FEW} users, too few to say much.")
    return notes
