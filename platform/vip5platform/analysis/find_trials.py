"""Find finished trials by fingerprint, MLflow run id or folder."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.metrics import compared_names, metric
from vip5core.trial.result import RESULT, TrialResult, has_result
from vip5platform.analysis.significance import unit_values
from vip5platform.tracking.recorded import default_uri
from vip5platform.tracking.tracker import fingerprint_of_run


def units_of(results: Sequence[TrialResult], name: str) -> dict[int, pd.Series]:
    """The value of each user, text or item in runs that differ in their seed only, by seed.

    Raises:
        UserError: For a metric that is not the mean of such values.
    """
    if not metric(name).is_testable:
        raise UserError(f"metric {name!r}: has no value per user; choose among {', '.join(compared_names())}")
    return {result.config.seed: unit_values(result.per_user, name) for result in results}


def load_runs(names: Sequence[str], home: Home, tracking_uri: str | None) -> list[TrialResult]:
    """Load finished trials that differ in their seed only, by folder, fingerprint (or a prefix) or MLflow run id.

    Raises:
        UserError: For a missing trial, an ambiguous prefix, or runs that differ in more than their seeds.
    """
    runs = [TrialResult.load(_folder(name.strip(), home, tracking_uri)) for name in names if name.strip()]
    if not runs:
        raise UserError(f"{','.join(names)!r} names no run: give a fingerprint, an MLflow run id or a folder")
    settings = [run.config.model_dump(exclude={"seed"}) for run in runs]
    for run, other in zip(runs, settings, strict=True):
        if other != settings[0]:
            key = next(key for key in other if other[key] != settings[0][key])
            raise UserError(
                f"{runs[0].folder.name} and {run.folder.name} differ in {key}: each side must be runs of one level, "
                "which differ in their seed only"
            )
    if len({run.config.seed for run in runs}) < len(runs):
        raise UserError(f"{','.join(names)}: two runs have the same seed; give one run per seed")
    return runs


def _folder(name: str, home: Home, tracking_uri: str | None) -> Path:
    if has_result(Path(name)):
        return Path(name)
    start = "" if "/" in name else f"{glob.escape(name)}*"
    there = home.fetch_all(home.trials, start).glob(f"{start}/{RESULT}") if start else []
    found = [file.parent for file in there]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"run {name!r}: ambiguous prefix of {len(found)} trials: {', '.join(f.name for f in found[:3])}, …"
        )
    fingerprint = fingerprint_of_run(name, tracking_uri or default_uri(home))
    if fingerprint and has_result(home.fetch(home.trial(fingerprint))):
        return home.trial(fingerprint)
    raise UserError(f"run {name!r}: neither a finished trial in {str(home)!r} nor an MLflow run; give the right --home")
