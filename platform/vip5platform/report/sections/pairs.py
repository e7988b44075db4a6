"""All pairwise comparisons of a study, as tables and as rows of a file."""

from __future__ import annotations

import math

import pandas as pd

from vip5core.metrics import metric
from vip5platform.analysis.results import StudyResults
from vip5platform.analysis.verdict import is_declared_different
from vip5platform.report.blocks import Block, Cell, Column, Row, Table, Text
from vip5platform.report.formatting import dataset_name, display_names, format_interval, format_signed, pluralize

#: How many pairs of one metric the report shows; the file has all of them.
_SHOWN = 45


def blocks(study: StudyResults) -> list[Block]:
    """One table per dataset and metric, and how the p-values were computed."""
    family = sum(len(group.comparisons) for group in study.groups)
    if not family:
        return []
    found: list[Block] = [
        Text(
            "Paired tests on the same users or texts; both users and seeds are treated as random samples. Intervals "
            "are 95 %, the effect size is Cohen's d, and p-values are adjusted by Holm's method over all "
            f"{pluralize(family, 'comparison')} of the study."
        )
    ]
    for group in study.groups:
        names = display_names(study, group)
        for name in dict.fromkeys(test.metric for test in group.comparisons):
            tests = [test for test in group.comparisons if test.metric == name]
            tests.sort(key=lambda test: (test.p_adjusted or 0.0, test.p_value))
            measure = metric(name)
            rows = [
                Row(
                    f"{names[test.first]} − {names[test.second]}",
                    [
                        Cell(format_signed(test.difference, measure), is_declared_different(test)),
                        Cell(format_interval(test.low, test.high, measure)),
                        Cell(
                            f"{100 * test.relative:+.1f} %".replace("-", "−") if math.isfinite(test.relative) else "–"
                        ),
                        Cell(f"{test.effect_size:+.2f}".replace("-", "−")),
                        Cell(_p(test.p_value)),
                        Cell(_p(test.p_adjusted)),
                    ],
                )
                for test in tests[:_SHOWN]
            ]
            heads = ("difference", "95 % interval", "relative", "effect size", "p", "adjusted p")
            where = f" on {dataset_name(group)}" if len(study.groups) > 1 else ""
            more = [f"{len(tests) - _SHOWN} more are in comparisons.csv."] if len(tests) > _SHOWN else []
            corner = f"{metric(name).title}{where}"
            found.append(Table(corner, [Column(head) for head in heads], rows, more))
    bold = "Bold: distinguishable." if study.seeds > 1 else "One seed: no two levels are declared different."
    found.append(Text(bold, "note"))
    return found


def _p(value: float | None) -> str:
    return "–" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def comparison_rows(study: StudyResults) -> pd.DataFrame:
    """One row per comparison, with unrounded values."""
    columns = ["metric", "first", "second", "first_mean", "second_mean", "difference", "low", "high"]
    columns += ["relative", "effect_size", "p_value", "p_adjusted", "seeds", "units"]
    rows = [
        {
            "dataset": group.name,
            **{name: getattr(test, name) for name in columns},
            "distinguishable": is_declared_different(test),
        }
        for group in study.groups
        for test in group.comparisons
    ]
    return pd.DataFrame(rows, columns=["dataset", *columns, "distinguishable"])
