"""A study of which a node runs out of memory: one trial is lost and says why, the others and the study end well."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ray.cluster_utils import Cluster
from support.full_memory import FullMemory
from support.imports import ROOT
from vip5platform.analysis.record import load_record
from vip5platform.tracking.recorded import FINGERPRINT, default_uri
from vip5platform.tracking.tracker import EXPERIMENT

from vip5core.home import Home
from vip5core.trial.result import RESULT

pytestmark = pytest.mark.long

_STUDY = """
from vip5platform import Study, factor, main
main(Study("memory", "Which?", (factor("learning_rate", 1e-3, 2e-3, 3e-3),), {"image_tokens": 0}))
"""
_SMALL = [
    *("--dataset", "minimart:40", "--p5-epochs", "1", "--epochs", "20", "--baselines", "popularity"),
    *("--set", "test_users=20", "validation_users=10", "train_candidates=5", "num_beams=10", "max_target_tokens=8"),
]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[FullMemory]:
    full = FullMemory(monkeypatch)
    try:
        yield full
    finally:
        full.free()


@pytest.fixture
def address(memory: FullMemory) -> Iterator[str]:
    """A node with one CPU, so that one trial runs at a time, whose memory is watched."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def run(address: str, home: Home, memory: FullMemory, log: Path) -> int:
    """Run the study and fill the memory from the first checkpoint of a trial to the first failure; its exit code."""
    command = [sys.executable, "-c", _STUDY, *_SMALL, "--home", str(home), "--address", address]
    with log.open("w") as file, subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file) as driver:
        try:
            wait_for(driver, lambda: any(home.trials.glob("*.running.pt")))
            memory.fill()
            wait_for(driver, lambda: "✗" in log.read_text())
            memory.free()
            return driver.wait(300)
        finally:
            driver.kill()  # which does nothing to one that has ended


def wait_for(driver: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """Wait until something is the case, as long as the driver lives."""
    while driver.poll() is None and not condition():
        time.sleep(0.05)


def recorded_runs(home: Home) -> tuple[Run, dict[str, Run]]:
    """What MLflow has: the run of the study, and the others by fingerprint, that of the P5 stage by none."""
    client = MlflowClient(default_uri(home))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id]))
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    return parent, {run.data.tags.get(FINGERPRINT, ""): run for run in runs if run is not parent}


def test_a_study_loses_one_trial_to_full_memory_and_says_why_wherever_one_looks(
    memory: FullMemory, address: str, tracked_home: Home, tmp_path: Path
):
    home, log = tracked_home, tmp_path / "driver.log"
    code = run(address, home, memory, log)
    told = log.read_text()
    assert code == 1, told
    assert "Traceback" not in told

    (report,) = home.reports.rglob("report.md")
    trials = load_record(report.parent).trials
    (lost,) = (trial for trial in trials if trial.failure is not None)
    assert lost.failure is not None
    assert lost.failure.kind == "out_of_memory"
    reason = lost.failure.message
    assert reason.startswith("its process was killed because node ")
    assert reason.endswith("GB in use): run fewer trials at once, or use nodes with more memory")
    assert reason in told
    assert reason in report.read_text()
    finished = {file.parent.name for file in home.trials.glob(f"*/{RESULT}")}
    assert finished == {trial.fingerprint for trial in trials} - {lost.fingerprint}
    assert len(finished) == 2

    parent, others = recorded_runs(home)
    assert parent.info.status == "FINISHED"
    assert {name: run.info.status for name, run in others.items()} == {
        lost.fingerprint: "FAILED",
        **dict.fromkeys(finished | {""}, "FINISHED"),
    }
    tags = others[lost.fingerprint].data.tags
    assert (tags["vip5.failure_kind"], tags["vip5.failure"]) == ("out_of_memory", reason)
