"""What differs between a study that ran in peace and the same in pieces; times, memory and speed may."""

from __future__ import annotations

import textwrap
from itertools import pairwise
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from vip5platform.tracking.recorded import default_uri
from vip5platform.tracking.tracker import EXPERIMENT

from vip5core.home import Home
from vip5core.trial.result import RESULT, TrialResult


def differences(peace: Home, pieces: Home) -> list[str]:
    """A line for each difference of trials and of MLflow's runs, and for each file that was left behind."""
    return [
        *differing_trials(peace, pieces),
        *differing_runs(default_uri(peace), default_uri(pieces)),
        *_leftovers(pieces),
    ]


def differing_trials(peace: Home, pieces: Home) -> list[str]:
    """A line for each difference of the trials' folders; times, memory and speed may differ."""
    names = [sorted(file.parent.name for file in home.trials.glob(f"*/{RESULT}")) for home in (peace, pieces)]
    if names[0] != names[1]:
        return [f"trials {names[0]} in peace, {names[1]} in pieces"]
    different = []
    for name in names[0]:
        both = [home.trial(name) for home in (peace, pieces)]
        for file in ("per_user.parquet", "trainable.safetensors"):
            if both[0].joinpath(file).read_bytes() != both[1].joinpath(file).read_bytes():
                different.append(f"{name}: {file} differs")
        first, second = map(TrialResult.load, both)
        if _without_costs(first.metrics) != _without_costs(second.metrics):
            different.append(f"{name}: metrics differ")
        if first.history != second.history:
            different.append(f"{name}: the epochs differ")
    return different


def _without_costs(metrics: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if not key.startswith("cost/")}


def differing_runs(peace: str, pieces: str) -> list[str]:
    """A line for each difference of two MLflows, by address: runs, their ends, their metrics."""
    first, second = (_recorded(uri) for uri in (peace, pieces))
    return [
        f"run {name}, {what}: {_shorten(first.get(name, {}).get(what))} in peace, "
        f"{_shorten(second.get(name, {}).get(what))} in pieces"
        for name in sorted(first.keys() | second.keys())
        for what in sorted(first.get(name, {}).keys() | second.get(name, {}).keys())
        if first.get(name, {}).get(what) != second.get(name, {}).get(what)
    ]


def _shorten(value: object) -> str:
    return textwrap.shorten(str(value), 100)


def _recorded(uri: str) -> dict[str, dict[str, Any]]:
    """By run: its status and its metrics."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    recorded: dict[str, dict[str, Any]] = {}
    run: Run
    for run in client.search_runs([experiment.experiment_id]):
        points = {name: client.get_metric_history(run.info.run_id, name) for name in sorted(run.data.metrics)}
        metrics = _steps(points) if "mlflow.parentRunId" in run.data.tags else _values(points)
        key = run.data.tags.get("vip5.fingerprint") or run.data.tags.get("vip5.p5_stage", "parent")
        recorded[key if key not in recorded else f"{key} again"] = {"status": run.info.status, **metrics}
    return recorded


def _steps(points: dict[str, list[Metric]]) -> dict[str, Any]:
    """Of a trial or a P5 stage: the steps of each metric, in order, doubles included."""
    return {name: [point.step for point in of] for name, of in points.items()}


def _values(points: dict[str, list[Metric]]) -> dict[str, Any]:
    """Of a study: what each metric came to, and which ones have the same value twice in a row.

    A study that ended without one of its trials, and with it when the same command was given again, has two values.
    """
    values = {
        name: [point.value for point in sorted(of, key=lambda point: point.timestamp)] for name, of in points.items()
    }
    return {
        **{name: of[-1] for name, of in values.items() if not name.startswith("cost/") and name != "study/hours"},
        "recorded twice": [name for name, of in values.items() if any(a == b for a, b in pairwise(of))],
    }


def _leftovers(home: Home) -> list[str]:
    """What a killed driver left that its successors did not clear away."""
    left = [*home.root.rglob("*.part"), *home.root.glob("tune-*"), *home.root.rglob("*.running.pt")]
    return [f"left behind: {path.relative_to(home.root)}" for path in left]
