"""How to run it again, and what exactly was run."""

from __future__ import annotations

from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Block, Bullets, Cell, Code, Column, Row, Table

from vip5core.trial.result import TrialResult


def blocks(study: StudyResults) -> list[Block]:
    record = study.record
    dirty = ", with changes that were not committed" if record.dirty else ""
    facts = [("Commit", f"{record.commit}{dirty}" if record.commit else "unknown: not run from a checkout")]
    facts.append(("Study", f"{record.name}, key {record.key}"))
    if record.settings:
        facts.append(("Settings of all trials", ", ".join(f"{k}={v}" for k, v in record.settings.items())))
    results = list(study.results().values())
    for what in ("dataset", "backbone"):
        prints = sorted({_identity(result, what) for result in results} - {""})
        if prints:
            facts.append((what.capitalize(), "; ".join(prints)))
    features = sorted({f"{r.config.encoder} {r.record['features']}" for r in results if r.record.get("features")})
    if features:
        facts.append(("Features", "; ".join(features)))
    versions: dict[str, set[str]] = {}
    for result in results:
        for package, version in result.record.get("versions", {}).items():
            versions.setdefault(package, set()).add(version)
    if versions:
        text = ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in versions.items())
        facts.append(("Versions", text))
    lines = [
        Row(trial.name or "a searched trial", [Cell(str(trial.seed)), Cell(trial.fingerprint or "–")])
        for trial in record.trials
    ]
    heads = [Column("seed"), Column("fingerprint", number=False)]
    return [Code(record.command), Bullets(facts), Table("trial", heads, lines)]


def _identity(result: TrialResult, what: str) -> str:
    found = result.record.get(what) or {}
    return " ".join(str(found[key]) for key in ("name", "fingerprint") if found.get(key))
