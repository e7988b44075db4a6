"""The page of metrics, made from their declarations.

`python -m vip5core.metric_docs > docs/metric-list.md` writes it again.
"""

from __future__ import annotations

import itertools

from vip5core.metrics import METRICS, Metric

_GROUPS = {
    "sequential": "Sequential recommendation",
    "direct": "Direct recommendation",
    "explanation": "Explanations",
    "": "Over all tasks",
    "probe": "What can be read off image tokens",
    "cost": "Costs",
    "model": "The model",
}


def metrics_page() -> str:
    """The page `docs/metric-list.md`."""
    lines = [
        "# Every metric",
        "",
        "The names that `Study.metrics`, `Search.objectives`, `--metric` and MLflow use: `SPLIT/TASK/NAME`,",
        "`SPLIT/NAME` or `GROUP/NAME`. *Compared* ones have one value per user, text or item, so that levels can be",
        "tested; *answers* are those that a study asks about if it names none. HR and NDCG exist for every cutoff",
        "(`ndcg_at_20`). From [`vip5core/metrics/registry.py`](../vip5core/metrics/registry.py) by",
        "`python -m vip5core.metric_docs > docs/metric-list.md`.",
    ]
    for group, metrics in itertools.groupby(METRICS.values(), key=lambda known: known.group):
        lines += ["", f"## {_GROUPS.get(group, group)}", "", "| name | in tables | better | unit | use |"]
        lines += ["|---|---|---|---|---|", *map(_row, metrics)]
    return "\n".join(lines) + "\n"


def _row(known: Metric) -> str:
    own = f"{known.group}/{known.name}" if known.group else known.name
    names = [f"`{split}/{own}`" for split in known.splits] if known.splits else [f"`{own}`"]
    uses = [
        *(["answers"] if known.in_answer else []),
        *(["compared"] if known.per_unit is not None else []),
        *(["in every table"] if known.in_table else []),
    ]
    better = "higher" if known.higher_is_better else "lower"
    return f"| {', '.join(names)} | {known.label} | {better} | {known.unit} | {', '.join(uses)} |"


if __name__ == "__main__":
    print(metrics_page(), end="")
