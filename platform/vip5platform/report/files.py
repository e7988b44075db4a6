"""A report as files: a page, text, tables, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from vip5core.storage import whole_file
from vip5platform.evidence import Evidence
from vip5platform.report import cost, html, main_plot, markdown, pairs, search
from vip5platform.report.document import document

_PLOT = "plot.png"


def write_report(evidence: Evidence, home: Path) -> list[Path]:
    """Write `report.html`, `report.md`, `trials.csv`, `comparisons.csv` and `plot.png`, each whole.

    Returns:
        Their paths, in the study's folder under `home`.
    """
    folder = evidence.record.folder(home)
    found = search.stored(evidence, home)
    contents = {
        "report.html": html.render(document(evidence, found)),
        "report.md": markdown.render(document(evidence), _PLOT),
        "trials.csv": trials(evidence).to_csv(index=False),
        "comparisons.csv": pairs.table(evidence).to_csv(index=False),
    }
    for name, text in contents.items():
        with whole_file(folder / name) as aside:
            aside.write_text(text, "utf-8")
    return [*(folder / name for name in contents), main_plot.save(evidence, found, folder / _PLOT)]


def trials(evidence: Evidence) -> pd.DataFrame:
    """One line per trial: its levels, what it is known by, why it failed, and all its metrics."""
    results = evidence.results()
    lines: list[dict[str, Any]] = []
    for trial in evidence.record.trials:
        result = results.get(trial.fingerprint)
        line: dict[str, Any] = {**trial.cell, "asked of": trial.group, "seed": trial.seed}
        line |= {"fingerprint": trial.fingerprint, "failure": "" if result else trial.failure or "not run"}
        lines.append(line | (result.metrics if result else {}))
    return pd.DataFrame(lines)


def summary(evidence: Evidence) -> dict[str, float]:
    """What stands in the study's own row among MLflow's runs.

    The best mean of each metric of the study (by dataset, if there are several), how many trials there are and how many
    are missing, and the machine hours.
    """
    figures: dict[str, float] = {}
    for group in evidence.groups:
        for name in evidence.metrics:
            best = group.best(name) or next((cell for cell in group.cells if cell.values(name)), None)
            if best is not None:
                where = f"/{_plain(group.name)}" if len(evidence.groups) > 1 else ""
                figures[f"{name}{where}"] = best.mean(name)
    missing = sum(len(cell.failures) for cell in evidence.cells)
    return {
        **figures,
        "study/trials": float(len(evidence.record.trials)),
        "study/failures": float(missing),
        "study/hours": cost.hours(evidence),
    }


def _plain(name: str) -> str:
    """A name that MLflow takes."""
    return "".join(letter if (letter.isalnum() and letter.isascii()) or letter in "-_." else "-" for letter in name)
