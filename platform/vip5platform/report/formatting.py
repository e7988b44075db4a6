"""How levels, metrics and numbers are formatted, the same in every part of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from vip5core.metrics import Metric
from vip5platform.analysis.results import CellResults, DatasetResults, Interval, StudyResults

Word = TypeVar("Word")

#: The factor whose levels are datasets.
_DATA = "dataset"
#: Baselines whose displayed name is not their name on the command line.
_BASELINE_NAMES = {"sasrec": "SASRec"}
#: Of a long prompt, the words and images that are shown of its beginning and its end.
_FIRST, _LAST = 48, 12


def unit_suffix(measure: Metric) -> str:
    """The unit of a metric in parentheses; empty if it has none or its label names it."""
    return f" ({measure.unit})" if measure.unit and measure.unit not in measure.label else ""


def format_value(value: float | None, measure: Metric) -> str:
    """A value as tables show it, with a typographic minus sign."""
    return measure.show(value).replace("-", "−")


def format_signed(value: float, measure: Metric) -> str:
    """A value with its sign."""
    text = format_value(value, measure)
    return text if text.startswith(("−", "–")) or value == 0 else f"+{text}"


def format_interval(low: float, high: float, measure: Metric) -> str:
    """`[low, high]`."""
    return f"[{format_value(low, measure)}, {format_value(high, measure)}]"


def format_mean(interval: Interval, measure: Metric) -> str:
    """`0.0560 ± 0.0080`; the mean alone if it has no interval."""
    text, half = format_value(interval.mean, measure), (interval.high - interval.low) / 2
    return f"{text} ± {measure.show(half)}" if half > 0 else text  # also false for nan


def format_p_value(value: float) -> str:
    """`p = 0.012` or `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def format_percent(share: float) -> str:
    """A share in percent, with two significant digits if it is small."""
    return f"{100 * share:.0f}\u00a0%" if share >= 0.095 else f"{100 * share:.2g}\u00a0%"  # a non-breaking space


def format_probability(share: float) -> str:
    """A probability in percent.

    >>> format_probability(0.1234), format_probability(0.00042), format_probability(0.0000042)
    ('12.3 %', '0.04 %', '< 0.01 %')
    """
    if share < 1e-4:
        return "< 0.01 %"
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2f} %"


def join_words(words: Sequence[str], at_most: int = 6) -> str:
    """`a, b and c`; beyond `at_most`, the last ones are counted."""
    if len(words) > at_most:
        words = [*words[: at_most - 1], f"{len(words) - at_most + 1} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def pluralize(how_many: int, what: str) -> str:
    """A count with its noun: `1 seed`, `3 seeds`."""
    return f"{how_many:,} {what}" + ("" if how_many == 1 else "s")


def level_name(cell: CellResults, study: StudyResults) -> str:
    """The name of a cell within its dataset, without repeating the dataset."""
    whole = len(study.groups) == 1
    return " · ".join(text for factor, text in cell.levels.items() if whole or factor != _DATA) or cell.name


def level_as_subject(name: str, study: StudyResults) -> str:
    """The name of a level in a sentence; a bare number is preceded by its factor."""
    bare = name.replace(".", "", 1).isdecimal()
    return f"{factor_names(study)} {name}" if bare else name


def factor_names(study: StudyResults) -> str:
    """The names of the factors, joined."""
    names = [name for name in study.record.factors if name != _DATA or len(study.groups) == 1]
    return " × ".join(names or study.record.factors)


def display_names(study: StudyResults, group: DatasetResults) -> dict[str, str]:
    """The displayed name of each cell and baseline of a dataset, by its name in the comparisons."""
    names = {cell.name: level_name(cell, study) for cell in group.cells}
    return {**{baseline.name: baseline_name(baseline.name) for baseline in group.baselines}, **names}


def baseline_name(name: str) -> str:
    """The displayed name of a baseline.

    >>> baseline_name("sasrec"), baseline_name("popularity")
    ('SASRec', 'popularity')
    """
    return _BASELINE_NAMES.get(name, name)


def dataset_name(group: DatasetResults) -> str:
    """The dataset as it was requested; of a folder, its last part."""
    return group.name.rstrip("/").rpartition("/")[2] or group.name


def shorten_prompt(words: Sequence[Word]) -> list[Word | None]:
    """The words of a prompt; of a long one the first and the last, with None for those between them."""
    if len(words) <= _FIRST + _LAST:
        return list(words)
    return [*words[:_FIRST], None, *words[-_LAST:]]
