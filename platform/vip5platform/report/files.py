"""A report as files: a page, text, tables and a plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from vip5core.fingerprint import fingerprint, sha256_file
from vip5core.home import Home
from vip5core.storage import atomic_file
from vip5core.trial.result import TrialResult
from vip5platform.analysis.record import NOT_RUN, RecordedTrial
from vip5platform.analysis.results import StudyResults
from vip5platform.report.document import document
from vip5platform.report.render import html, markdown
from vip5platform.report.sections import cost, pairs, search
from vip5platform.report.sections.answer import answer

PLOT = "plot.png"
#: The answer alone, for a list of studies.
ANSWER = "answer.txt"
_FILES = ("report.html", "report.md", ANSWER, "trials.csv", "comparisons.csv", PLOT)
#: Holds the identity of what the report was written from.
_CONTENT = ".content"


def content_of(study: StudyResults) -> str:
    """The identity of what a report says, but for its command and the seconds of the last run."""
    record = study.record.model_copy(update={"seconds": {}, "command": ""})
    text = markdown.render(document(replace(study, record=record)), PLOT)
    return fingerprint(record.model_dump_json(), text, trial_rows(study).to_csv(index=False), str(summary(study)))


def update_report(study: StudyResults, home: Home, content: str) -> list[Path]:
    """Write the report, unless the same code has written one from the same content: plots take seconds.

    That of a search is always written, for it also shows what Optuna has stored.

    Args:
        study: The results.
        home: The home with the study's folder.
        content: The identity of the results; see `content_of`.

    Returns:
        The paths of the files.
    """
    folder = study.record.folder(home)
    identity = fingerprint(content, study.record.command, _code())
    note = folder / _CONTENT
    files = [folder / name for name in _FILES]
    known = study.record.kind == "study" and note.is_file() and note.read_text("utf-8") == identity
    if known and all(file.is_file() for file in files):
        return files
    files = write_report(study, home)
    with atomic_file(note) as file:
        file.write_text(identity, "utf-8")
    return files


def _code() -> str:
    """The identity of the code of analyses and reports, templates of pages included."""
    package = Path(__file__).parents[1]
    files = sorted(path for ending in ("py", "j2") for path in package.rglob(f"*.{ending}"))
    return fingerprint([[str(path.relative_to(package)), sha256_file(path)] for path in files])


def write_report(study: StudyResults, home: Home) -> list[Path]:
    """Write `report.html`, `report.md`, `answer.txt`, `trials.csv`, `comparisons.csv` and `plot.png`, each atomically.

    Returns:
        The paths of the files, in the study's folder under `home`.
    """
    from vip5platform.report.plots import overview as main_plot  # late, because matplotlib takes a second

    folder = study.record.folder(home)
    (folder / _CONTENT).unlink(missing_ok=True)
    found = search.load_stored_search(study, home)
    contents = {
        "report.html": html.render(document(study, found)),
        "report.md": markdown.render(document(study), PLOT),
        ANSWER: f"{answer(study)}\n",
        "trials.csv": trial_rows(study).to_csv(index=False),
        "comparisons.csv": pairs.comparison_rows(study).to_csv(index=False),
    }
    for name, text in contents.items():
        with atomic_file(folder / name) as file:
            file.write_text(text, "utf-8")
    return [*(folder / name for name in contents), main_plot.save_overview(study, found, folder / PLOT)]


def trial_rows(study: StudyResults) -> pd.DataFrame:
    """One row per trial: dataset, levels, seed, fingerprint, the reason if it failed, and all metrics."""
    results = study.trial_results()
    lines: list[dict[str, Any]] = []
    for trial in study.record.trials:
        result = results.get(trial.fingerprint)
        line: dict[str, Any] = {"dataset": trial.group, **trial.cell, "seed": trial.seed}
        line |= {"fingerprint": trial.fingerprint, "failure": _failure(trial, result)}
        lines.append(line | (result.metrics if result else {}))
    return pd.DataFrame(lines)


def _failure(trial: RecordedTrial, result: TrialResult | None) -> str:
    return "" if result is not None else (trial.failure or NOT_RUN).message


def summary(study: StudyResults) -> dict[str, float]:
    """The metrics of the study's parent run in MLflow.

    These are the best mean of each metric of the study (per dataset if there are several), the number of trials and of
    missing trials, and the machine hours.
    """
    figures: dict[str, float] = {}
    for group in study.groups:
        for name in study.metrics:
            best = group.best(name) or next((cell for cell in group.cells if cell.values(name)), None)
            if best is not None:
                where = f"/{_mlflow_name(group.name)}" if len(study.groups) > 1 else ""
                figures[f"{name}{where}"] = best.mean(name)
    missing = sum(len(cell.failures) for cell in study.cells)
    return {
        **figures,
        "study/trials": float(len(study.record.trials)),
        "study/failures": float(missing),
        "study/hours": cost.hours(study),
    }


def _mlflow_name(name: str) -> str:
    """A name that MLflow accepts."""
    return "".join(letter if (letter.isalnum() and letter.isascii()) or letter in "-_." else "-" for letter in name)
