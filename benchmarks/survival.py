"""`python -m benchmarks.survival`: a study whose driver is killed (-9) at random moments ends as one that was not.

The same study is run twice: once in peace, and once in pieces, its driver killed again and again. Then trials, weights,
per-user results, metrics and MLflow's records of both are compared; times and memory are all that may differ.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console
from vip5platform.tracking.recorded import default_uri
from vip5platform.tracking.tracker import EXPERIMENT

from vip5core.home import Home
from vip5core.trial.result import RESULT, TrialResult

_STUDY = """
import sys
from vip5platform import Study, factor, main
main(Study("survival", "Which?", (factor("image_tokens", 0, 2),)), sys.argv[1:])
"""
_SMALL = (
    *("--dataset", "minimart:40", "--p5-epochs", "1", "--baselines", "popularity", "--set"),
    *("test_users=20", "validation_users=10", "train_candidates=5", "num_beams=10", "max_target_tokens=8"),
    *("dropout=0.1",),
)
_PATIENCE_S = 600


@dataclass
class Survival:
    """What was done, and what came out differently.

    Attributes:
        kills: seconds after its start at which each driver was killed.
        resumed: how many of the starts found a trial in the middle.
        mismatches: each difference, in a line.
    """

    kills: list[float] = field(default_factory=list)
    resumed: int = 0
    mismatches: list[str] = field(default_factory=list)


def survive(folder: Path, kills: int, seed: int = 0, *, epochs: int = 20, inputs_first: bool = False) -> Survival:
    """Run the study in peace and in pieces under `folder`, and compare.

    Args:
        folder: both homes are made in it.
        kills: how many drivers are killed: three of four within four seconds after a trial has written a checkpoint,
            every fourth anywhere in its first twenty seconds.
        seed: of the moments.
        epochs: of each trial.
        inputs_first: start the study in pieces with the dataset, backbone and features of the other, so that kills meet
            its trials alone.
    """
    rng = random.Random(seed)
    peace, pieces = Home(folder / "peace"), Home(folder / "pieces")
    _finish(peace, epochs)
    for made in (peace.datasets, peace.backbones, peace.features) if inputs_first else ():
        shutil.copytree(made, pieces.root / made.name)
    found = Survival()
    while len(found.kills) < kills:
        found.resumed += bool(_checkpoints(pieces))
        begin = time.monotonic()
        driver = _start(pieces, epochs)
        in_training = len(found.kills) % 4 != 3
        moment = rng.uniform(0.0, 4.0 if in_training else 20.0)
        before = _checkpoints(pieces)
        while in_training and driver.poll() is None and _checkpoints(pieces) == before:
            time.sleep(0.05)
        try:
            driver.wait(moment)
            break  # it was faster: nothing is left to kill
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
            found.kills.append(round(time.monotonic() - begin, 1))
            time.sleep(1.0)  # until Ray has noticed
    found.resumed += bool(_checkpoints(pieces))
    _finish(pieces, epochs)
    found.mismatches = [*_compare_trials(peace, pieces), *_compare_runs(peace, pieces), *_leftovers(pieces)]
    return found


def _checkpoints(home: Home) -> dict[str, int]:
    """The checkpoints of trials in the middle, with their times."""
    found = {}
    for path in home.trials.glob("*.running.pt"):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            found[path.name] = path.stat().st_mtime_ns
    return found


def _start(home: Home, epochs: int) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", _STUDY, *_SMALL, "--epochs", str(epochs), "--home", str(home)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )


def _finish(home: Home, epochs: int) -> None:
    driver = _start(home, epochs)
    _, errors = driver.communicate(timeout=_PATIENCE_S)
    if driver.returncode:
        raise RuntimeError(f"the study left with {driver.returncode}: {errors.decode()[-2000:]}")


def _compare_trials(peace: Home, pieces: Home) -> list[str]:
    """Differences of the trials' folders; times, memory and speed may differ."""
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


def _compare_runs(peace: Home, pieces: Home) -> list[str]:
    """Differences of what MLflow has: runs, their ends, and the steps of each metric."""
    first, second = (_recorded(home) for home in (peace, pieces))
    different = [
        f"run {name}: {first.get(name)} in peace, {second.get(name)} in pieces"
        for name in first.keys() | second.keys()
        if first.get(name) != second.get(name)
    ]
    return [line[:300] for line in different]


def _recorded(home: Home) -> dict[str, Any]:
    """By run: status and the steps of every metric, in order, doubles included."""
    client = MlflowClient(default_uri(home))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    recorded: dict[str, Any] = {}
    run: Run
    for run in client.search_runs([experiment.experiment_id]):
        steps = {
            name: [point.step for point in client.get_metric_history(run.info.run_id, name)]
            for name in sorted(run.data.metrics)
            if not name.startswith("cost/") or "mlflow.parentRunId" in run.data.tags
        }
        key = run.data.tags.get("vip5.fingerprint") or run.data.tags.get("vip5.p5_stage", "parent")
        recorded[key if key not in recorded else f"{key} again"] = (run.info.status, steps)
    return recorded


def _leftovers(home: Home) -> list[str]:
    """What a killed driver left that its successors did not clear away."""
    left = [*home.root.rglob("*.part"), *home.root.glob("tune-*"), *home.root.rglob("*.running.pt")]
    return [f"left behind: {path.relative_to(home.root)}" for path in left]


def main() -> None:
    """Kill as often as asked, and print the log."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survival", description=__doc__)
    parser.add_argument("--kills", type=int, default=10, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = survive(Path(folder), given.kills, given.seed)
    console = Console()
    console.print(f"{len(found.kills)} kills, at {found.kills} s; {found.resumed} starts found a trial in the middle")
    console.print(f"{len(found.mismatches)} mismatches")
    for line in found.mismatches:
        console.print(f"  {line}", markup=False)
    raise SystemExit(bool(found.mismatches))


if __name__ == "__main__":
    main()
