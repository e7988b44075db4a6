"""How levels, metrics and numbers are written, the same in every part of a report."""

from __future__ import annotations

from collections.abc import Sequence

from vip5core.metrics import Metric
from vip5platform.analysis.results import CellResults, DatasetResults, Interval, StudyResults

#: Factors that say on which data a cell stands: what a group is.
_DATA = "dataset"


def unit(how: Metric) -> str:
    return f" ({how.unit})" if how.unit and how.unit not in how.label else ""


def number(value: float | None, how: Metric) -> str:
    """A value as tables write it, with a true minus."""
    return how.show(value).replace("-", "−")


def with_sign(value: float, how: Metric) -> str:
    text = number(value, how)
    return text if text.startswith(("−", "–")) or value == 0 else f"+{text}"


def span(low: float, high: float, how: Metric) -> str:
    return f"[{number(low, how)}, {number(high, how)}]"


def with_half_width(interval: Interval, how: Metric) -> str:
    """`0.0560 ± 0.0080`; the mean alone, where nothing tells how sure it is."""
    text, half = number(interval.mean, how), (interval.high - interval.low) / 2
    return f"{text} ± {how.show(half)}" if half > 0 else text  # nan is not, either


def p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%" if share >= 0.095 else f"{100 * share:.2g}\u00a0%"  # unbroken


def join_words(words: Sequence[str], at_most: int = 6) -> str:
    """`a, b and c`; the last are counted where there are too many."""
    if len(words) > at_most:
        words = [*words[: at_most - 1], f"{len(words) - at_most + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def count(how_many: int, what: str) -> str:
    return f"{how_many:,} {what}" + ("" if how_many == 1 else "s")


def level(cell: CellResults, study: StudyResults) -> str:
    """A cell's name within its group: the dataset need not be said again."""
    whole = len(study.groups) == 1
    return " · ".join(text for factor, text in cell.levels.items() if whole or factor != _DATA) or cell.name


def subject(name: str, study: StudyResults) -> str:
    """A level at the head of a sentence: a bare number needs to be told what it is a number of."""
    bare = name.replace(".", "", 1).isdecimal()
    return f"{factors(study)} {name}" if bare else name


def factors(study: StudyResults) -> str:
    """What the levels are levels of."""
    names = [name for name in study.record.factors if name != _DATA or len(study.groups) == 1]
    return " × ".join(names or study.record.factors)


def display(study: StudyResults, group: DatasetResults) -> dict[str, str]:
    """How each cell and baseline of a group is called, by its name in the comparisons."""
    names = {cell.name: level(cell, study) for cell in group.cells}
    return {**{baseline.name: baseline.name for baseline in group.baselines}, **names}


def dataset_name(group: DatasetResults) -> str:
    """The group as it was asked for; of a folder, its last part."""
    return group.name.rstrip("/").rpartition("/")[2] or group.name
