"""Every comparison of a study: as a table, and for a file."""

from __future__ import annotations

import math

import pandas as pd

from vip5core.metrics import metric
from vip5platform.analysis.results import StudyResults
from vip5platform.analysis.verdict import tells_apart
from vip5platform.report.blocks import Block, Cell, Column, Row, Table, Text
from vip5platform.report.formatting import count, dataset_name, display, span, with_sign

#: Pairs of one metric that a page shows; the file has them all.
_SHOWN = 45


def blocks(study: StudyResults) -> list[Block]:
    """A table for each dataset and metric, and how the p-values were made."""
    family = sum(len(group.comparisons) for group in study.groups)
    if not family:
        return []
    found: list[Block] = [
        Text(
            "Paired tests on the same users or texts; users and seeds both count as samples. Intervals are of 95 %, "
            "the effect is Cohen's d, and p is adjusted by Holm's method for all "
            f"{count(family, 'comparison')} of the study."
        )
    ]
    for group in study.groups:
        names = display(study, group)
        for name in dict.fromkeys(test.metric for test in group.comparisons):
            tests = [test for test in group.comparisons if test.metric == name]
            tests.sort(key=lambda test: (test.p_adjusted or 0.0, test.p_value))
            how = metric(name)
            rows = [
                Row(
                    f"{names[test.first]} − {names[test.second]}",
                    [
                        Cell(with_sign(test.difference, how), tells_apart(test)),
                        Cell(span(test.low, test.high, how)),
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
            heads = ("difference", "95 % interval", "relative", "effect", "p", "p adjusted")
            where = f" on {dataset_name(group)}" if len(study.groups) > 1 else ""
            more = [f"{len(tests) - _SHOWN} more are in comparisons.csv."] if len(tests) > _SHOWN else []
            corner = f"{metric(name).title}{where}"
            found.append(Table(corner, [Column(head) for head in heads], rows, more))
    bold = "Bold: the two can be told apart." if study.seeds > 1 else "One seed: no two are declared different."
    found.append(Text(bold, "note"))
    return found


def _p(value: float | None) -> str:
    return "–" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def table(study: StudyResults) -> pd.DataFrame:
    """One row per comparison, unrounded."""
    columns = ["metric", "first", "second", "first_mean", "second_mean", "difference", "low", "high"]
    columns += ["relative", "effect_size", "p_value", "p_adjusted", "seeds", "units"]
    rows = [
        {"group": group.name, **{name: getattr(test, name) for name in columns}, "told_apart": tells_apart(test)}
        for group in study.groups
        for test in group.comparisons
    ]
    return pd.DataFrame(rows, columns=["group", *columns, "told_apart"])
