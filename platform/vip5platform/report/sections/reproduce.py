"""How to run the study again, and what exactly was run."""

from __future__ import annotations

from vip5core.trial.result import Content
from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Block, Bullets, Cell, Code, Column, Row, Table
from vip5platform.report.sections.example import best_level


def blocks(study: StudyResults) -> list[Block]:
    """The command, the identity of code and data, and the fingerprint of every trial."""
    record = study.record
    dirty = {True: ", with uncommitted changes", False: "", None: ", copied: changes are unknown"}[record.dirty]
    facts = [("Commit", f"{record.commit}{dirty}" if record.commit else "unknown: not run from a Git checkout")]
    facts.append(("Study", f"{record.name}, key {record.key}"))
    if record.settings:
        facts.append(("Settings of all trials", ", ".join(f"{k}={v}" for k, v in record.settings.items())))
    results = list(study.trial_results().values())
    for what, contents in (
        ("Dataset", {_identity(result.record.dataset) for result in results}),
        ("Backbone", {_identity(result.record.backbone) for result in results}),
    ):
        if contents - {""}:
            facts.append((what, "; ".join(sorted(contents - {""}))))
    features = sorted({f"{r.config.encoder} {r.record.features}" for r in results if r.record.features})
    if features:
        facts.append(("Features", "; ".join(features)))
    versions: dict[str, set[str]] = {}
    for result in results:
        for package, version in result.record.versions.items():
            versions.setdefault(package, set()).add(version)
    if versions:
        text = ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in versions.items())
        facts.append(("Versions", text))
    rows = [
        Row(trial.name or "trial of the search", [Cell(str(trial.seed)), Cell(trial.fingerprint or "–")])
        for trial in record.trials
    ]
    level = best_level(study)
    if level is not None:
        best = next(iter(level.results.values())).folder.name[:8]
        facts.append(("See and use the best level", f"vip5 show {best}; vip5 recommend {best} --users all --out FILE"))
    heads = [Column("seed"), Column("fingerprint", number=False)]
    return [Code(record.command), Bullets(facts), Table("trial", heads, rows)]


def _identity(content: Content | None) -> str:
    return f"{content.name} {content.fingerprint}" if content is not None else ""
