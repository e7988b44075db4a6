"""Every comparison of a study: as a table, and for a file."""

from __future__ import annotations

import math

import pandas as pd

from vip5core.metrics.table import metric
from vip5platform.evidence import Evidence
from vip5platform.report.blocks import Block, Column, Entry, Grid, Line, Text
from vip5platform.report.names import count, dataset_name, display, signed, span, title
from vip5platform.report.verdict import tells_apart

#: Pairs of one metric that a page shows; the file has them all.
_SHOWN = 45


def blocks(evidence: Evidence) -> list[Block]:
    """A table for each dataset and metric, and how the p-values were made."""
    family = sum(len(group.comparisons) for group in evidence.groups)
    if not family:
        return []
    found: list[Block] = [
        Text(
            "Paired tests on the same users or texts; users and seeds both count as samples. Intervals are of 95 %, "
            "the effect is Cohen's d, and p is adjusted by Holm's method for all "
            f"{count(family, 'comparison')} of the study."
        )
    ]
    for group in evidence.groups:
        names = display(evidence, group)
        for name in dict.fromkeys(test.metric for test in group.comparisons):
            tests = [test for test in group.comparisons if test.metric == name]
            tests.sort(key=lambda test: (test.p_adjusted or 0.0, test.p_value))
            how = metric(name)
            lines = [
                Line(
                    f"{names[test.first]} − {names[test.second]}",
                    [
                        Entry(signed(test.difference, how), tells_apart(test)),
                        Entry(span(test.low, test.high, how)),
                        Entry(
                            f"{100 * test.relative:+.1f} %".replace("-", "−") if math.isfinite(test.relative) else "–"
                        ),
                        Entry(f"{test.effect_size:+.2f}".replace("-", "−")),
                        Entry(_p(test.p_value)),
                        Entry(_p(test.p_adjusted)),
                    ],
                )
                for test in tests[:_SHOWN]
            ]
            heads = ("difference", "95 % interval", "relative", "effect", "p", "p adjusted")
            where = f" on {dataset_name(group)}" if len(evidence.groups) > 1 else ""
            more = [f"{len(tests) - _SHOWN} more are in comparisons.csv."] if len(tests) > _SHOWN else []
            corner = f"{title(name)}{where}"
            found.append(Grid(corner, [Column(head) for head in heads], lines, more))
    bold = "Bold: the two can be told apart." if evidence.seeds > 1 else "One seed: no two are declared different."
    found.append(Text(bold, "note"))
    return found


def _p(value: float | None) -> str:
    return "–" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def table(evidence: Evidence) -> pd.DataFrame:
    """One row per comparison, unrounded."""
    columns = ["metric", "first", "second", "first_mean", "second_mean", "difference", "low", "high"]
    columns += ["relative", "effect_size", "p_value", "p_adjusted", "seeds", "units"]
    rows = [
        {"group": group.name, **{name: getattr(test, name) for name in columns}, "told_apart": tells_apart(test)}
        for group in evidence.groups
        for test in group.comparisons
    ]
    return pd.DataFrame(rows, columns=["group", *columns, "told_apart"])
