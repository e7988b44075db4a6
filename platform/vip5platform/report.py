"""The study's answer as a table: levels against task metrics and costs, best in bold, beside popularity and random."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from vip5core.metrics.table import Metric, metric
from vip5core.storage import whole_file
from vip5platform.study import Study

#: What the table shows, of what was measured: by group, the metrics in order.
COLUMNS = {
    "sequential": tuple(f"test/sequential/{name}" for name in ("hit_rate_at_5", "hit_rate_at_10", "ndcg_at_10")),
    "direct": tuple(f"test/direct/{name}" for name in ("hit_rate_at_1", "hit_rate_at_10", "ndcg_at_10")),
    "explanation": ("test/explanation/bleu_4", "test/explanation/rouge_l"),
    "cost": ("cost/train_seconds", "cost/samples_per_second", "cost/peak_memory_mb", "model/trainable_percent"),
}
#: The one metric of each task that answers a study's question.
HEADLINES = {
    "sequential": "test/sequential/ndcg_at_10",
    "direct": "test/direct/ndcg_at_10",
    "explanation": "test/explanation/bleu_4",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: a cell of the study, or a baseline.

    Attributes:
        name: levels, joined; or the baseline.
        values: metric to its value in each seed that finished.
        failure: why a seed, or all, did not.
    """

    name: str
    values: Mapping[str, Sequence[float]]
    failure: str | None = None

    @property
    def title(self) -> str:
        """The name, with a mark where a trial is missing."""
        return f"{self.name} (incomplete)" if self.failure else self.name

    def mean(self, name: str) -> float:
        """The mean over seeds; nan if there is none."""
        values = self.values.get(name, ())
        return float(np.mean(values)) if len(values) else float("nan")

    def show(self, name: str, how: Metric) -> str:
        """The mean, with the standard deviation over seeds where there are several."""
        values = self.values.get(name, ())
        text = how.show(self.mean(name))
        return f"{text} ± {how.show(float(np.std(values, ddof=1)))}" if len(values) > 1 else text


@dataclass(frozen=True)
class Report:
    """A study's table.

    Attributes:
        study: what was asked.
        dataset: its name.
        levels: a row per cell.
        baselines: rows without a model.
        trials: one line per trial with all its metrics.
    """

    study: Study
    dataset: str
    levels: Sequence[Row]
    baselines: Sequence[Row]
    trials: pd.DataFrame

    @property
    def shown(self) -> dict[str, list[str]]:
        """The columns that have a value, by group."""
        rows = [*self.levels, *self.baselines]
        shown = {
            group: [name for name in names if any(row.values.get(name) for row in rows)]
            for group, names in COLUMNS.items()
        }
        return {group: names for group, names in shown.items() if names}

    def best(self, name: str) -> float:
        """The best mean among the levels. nan if no level has one, or all look the same."""
        means = [row.mean(name) for row in self.levels if not np.isnan(row.mean(name))]
        how = metric(name)
        if not means or (len(means) > 1 and len({how.show(value) for value in means}) == 1):
            return float("nan")
        return max(means) if how.higher_is_better else min(means)

    def is_best(self, row: Row, name: str) -> bool:
        how, best = metric(name), self.best(name)
        return row in self.levels and not np.isnan(best) and how.show(row.mean(name)) == how.show(best)

    def answer(self) -> str:
        """One sentence per task: the level that scores highest, beside popularity."""
        parts = []
        for task, name in HEADLINES.items():
            if all(np.isnan(row.mean(name)) for row in self.levels):
                continue
            how = metric(name)
            winners = [row.name for row in self.levels if self.is_best(row, name)]
            top = max(row.mean(name) for row in self.levels if not np.isnan(row.mean(name)))
            who = f"highest with {' and '.join(winners)}" if winners else "the same with all"
            popular = [f"popularity {how.show(row.mean(name))}" for row in self.baselines if row.name == "popularity"]
            parts.append(f"{task} {how.label} is {who} ({', '.join([how.show(top), *popular])})")
        return f"On the test set, {'; '.join(parts)}." if parts else "No trial has finished."

    def tables(self, console: Console) -> list[Table]:
        """For a terminal: one table, or one per group of columns where the terminal is too narrow for that."""
        whole = self._table(self.shown, self.study.question)
        if Measurement.get(console, console.options.update(max_width=10_000), whole).maximum <= console.width:
            return [whole]
        return [self._table({group: names}, group) for group, names in self.shown.items()]

    def _table(self, shown: Mapping[str, Sequence[str]], title: str) -> Table:
        factors = " × ".join(factor.name for factor in self.study.factors)
        table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        table.add_column(f"\n{factors}", no_wrap=True)
        for group, names in shown.items():
            for place, name in enumerate(names):
                how = metric(name)
                unit = f" {how.unit}" if how.unit and how.unit not in how.label else ""
                head = f"{group if place == 0 and len(shown) > 1 else ''}\n{how.label}{unit}"
                table.add_column(head, justify="right", no_wrap=True)
        for row in self.levels:
            table.add_row(row.title, *self._cells(row, shown, "[bold]{}[/bold]"))
        table.add_section()
        for row in self.baselines:
            table.add_row(row.title, *self._cells(row, shown, "{}"), style="dim")
        return table

    def markdown(self) -> str:
        """For a file."""
        factors = " × ".join(factor.name for factor in self.study.factors)
        names = [(group, name) for group, names in self.shown.items() for name in names]
        heads = []
        for group, name in names:
            how = metric(name)
            heads.append(f"{group} {how.label}{f' ({how.unit})' if how.unit else ''}")
        lines = [
            f"# {self.study.question}",
            "",
            f"Dataset: {self.dataset}. {self.answer()}",
            "",
            "| " + " | ".join([factors, *heads]) + " |",
            "|---" + "|---:" * len(heads) + "|",
        ]
        lines += ["| " + " | ".join([row.title, *self._cells(row, self.shown, "**{}**")]) + " |" for row in self.levels]
        lines += [
            "| " + " | ".join([f"*{row.name}*", *self._cells(row, self.shown, "{}")]) + " |" for row in self.baselines
        ]
        failures = [f"- {row.name}: {row.failure}" for row in self.levels if row.failure]
        if failures:
            lines += ["", "Failed:", "", *failures]
        return "\n".join(lines) + "\n"

    def _cells(self, row: Row, shown: Mapping[str, Sequence[str]], bold: str) -> list[str]:
        cells = []
        for names in shown.values():
            for name in names:
                text = row.show(name, metric(name))
                cells.append(bold.format(text) if self.is_best(row, name) else text)
        return cells

    def summary(self) -> dict[str, float]:
        """The best level's value of each headline, for the parent's row in the MLflow UI."""
        summary = {}
        for name in HEADLINES.values():
            means = [row.mean(name) for row in self.levels if not np.isnan(row.mean(name))]
            if means:
                summary[name] = max(means)
        return summary

    def write(self, folder: Path) -> list[Path]:
        """`table.md`, `trials.csv` and `rows.json` in `folder`, each whole."""
        contents = {
            "table.md": self.markdown(),
            "trials.csv": self.trials.to_csv(index=False),
            "rows.json": json.dumps(
                [
                    {"name": row.name, "values": {k: list(v) for k, v in row.values.items()}, "failure": row.failure}
                    for row in [*self.levels, *self.baselines]
                ],
                indent=1,
            ),
        }
        for name, text in contents.items():
            with whole_file(folder / name) as aside:
                aside.write_text(text, "utf-8")
        return [folder / name for name in contents]
