"""Finished trials by any name that a person has for them."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.metrics import metric, compared_names
from vip5core.trial.result import RESULT, TrialResult, has_result
from vip5platform.analysis.significance import unit_values
from vip5platform.tracking import default_uri, fingerprint_of_run


def units_of(results: Sequence[TrialResult], name: str) -> dict[int, pd.Series]:
    """The value of each user, text or item in runs of one setting, by seed.

    Raises:
        UserError: for a metric that is not the mean of such values.
    """
    if not metric(name).is_testable:
        raise UserError(f"metric {name!r}: has no value per user; choose among {', '.join(compared_names())}")
    return {result.config.seed: unit_values(result.per_user, name) for result in results}


def load_runs(names: Sequence[str], home: Home, tracking_uri: str | None) -> list[TrialResult]:
    """Finished trials of one setting, by folder, fingerprint (or its beginning), or MLflow run id.

    Raises:
        UserError: for one that is not there, a beginning that several share, or runs that are not one setting with
            several seeds.
    """
    runs = [TrialResult.load(_folder(name.strip(), home, tracking_uri)) for name in names if name.strip()]
    if not runs:
        raise UserError(f"{','.join(names)!r} names no run: give a fingerprint, an MLflow run's id or a folder")
    settings = [run.config.model_dump(exclude={"seed"}) for run in runs]
    for run, other in zip(runs, settings, strict=True):
        if other != settings[0]:
            key = next(key for key in other if other[key] != settings[0][key])
            raise UserError(
                f"{runs[0].folder.name} and {run.folder.name} differ in {key}, not in their seeds alone: they are no "
                "level; name the runs of one setting on each side"
            )
    if len({run.config.seed for run in runs}) < len(runs):
        raise UserError(f"{','.join(names)}: two runs have the same seed; name one run of each seed")
    return runs


def _folder(name: str, home: Home, tracking_uri: str | None) -> Path:
    if has_result(Path(name)):
        return Path(name)
    inside = "" if "/" in name else f"{glob.escape(name)}*/{RESULT}"
    found = [file.parent for file in home.trials.glob(inside)] if inside else []
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"run {name!r}: {len(found)} trials begin so: {', '.join(f.name for f in found[:3])}, …")
    fingerprint = fingerprint_of_run(name, tracking_uri or default_uri(home))
    if fingerprint and has_result(home.trial(fingerprint)):
        return home.trial(fingerprint)
    raise UserError(
        f"run {name!r}: no finished trial in {str(home.trials)!r} and no run of MLflow has that name; say --home"
    )
