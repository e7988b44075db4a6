"""The batch script for Slurm, run on this machine: `srun` is a script that starts the tasks here."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.imports import ROOT

pytestmark = pytest.mark.long

JOB = "7"
#: Starts as many processes as tasks are asked for, and ends them when it is ended, as Slurm does.
_SRUN = """#!/bin/bash
for word in "$@"; do
    case $word in
    --ntasks=*) tasks=${word#*=}; shift ;;
    --*) shift ;;
    *) break ;;
    esac
done
for ((task = 0; task < tasks; task++)); do setsid "$@" & started+=($!); done
each() { for task in "${started[@]}"; do kill "-$1" -- "-$task" 2> /dev/null; done; }
trap 'each TERM; sleep 10; each KILL' TERM
wait
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What Slurm tells a job of two nodes, with `srun` and the environment's commands on the path."""
    commands = tmp_path / "venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "activate").write_text(f"PATH={commands}:{Path(sys.executable).parent}:$PATH\n")
    (commands / "srun").write_text(_SRUN)
    (commands / "vip5").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m vip5platform.cli "$@"\n')
    for name in ("srun", "vip5"):
        (commands / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_"))}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "VIP5_VENV": str(tmp_path / "venv"),
        "VIP5_HEAD_IP": "127.0.0.1",
        "SLURM_JOB_ID": f"{JOB}-{os.getpid()}",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
        "SLURMD_NODENAME": "one",
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def start_job(environment: dict[str, str], home: Path, epochs: int) -> subprocess.Popen[str]:
    """Start the batch script with a study of two trials."""
    study = ["reduction-ablation", "--dataset", "minimart:40", "--levels", "reduction_factor=8,16"]
    options = ["--epochs", str(epochs), "--p5-epochs", "1", "--baselines", "popularity"]
    return subprocess.Popen(
        ["bash", ROOT / "cluster" / "slurm.sh", home, *study, *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_end(job: subprocess.Popen[str]) -> str:
    """Wait until the script ends, and return what it printed."""
    try:
        return job.communicate(timeout=580)[0]
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        raise


def assert_nothing_left(environment: dict[str, str], home: Path) -> None:
    assert list((home / "mlflow-reduction-ablation" / "copies").glob("mlflow-*.db"))
    assert not list(home.glob("mlflow.db"))  # a home is on a network's file system
    local = Path(f"/tmp/vip5-{environment['SLURM_JOB_ID']}")
    assert not local.exists()
    assert [p for p in psutil.process_iter() if any(str(local) in word for word in _words(p))] == []


def test_a_study_runs_on_the_nodes_of_a_job_and_nothing_is_left(environment, home):
    job = start_job(environment, home, epochs=1)
    output = wait_for_end(job)
    assert job.returncode == 0, output
    assert len(list((home / "trials").glob("*/result.json"))) == 2
    assert list((home / "reports").glob("*/report.html"))
    assert_nothing_left(environment, home)


def test_a_job_whose_time_is_up_keeps_its_epochs(environment, home):
    """Slurm sends the batch script SIGTERM before it kills what is left."""
    job = start_job(environment, home, epochs=1000)
    deadline = time.monotonic() + 400
    while not list(home.glob("trials/*.running.pt")) and time.monotonic() < deadline:
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.2)
    os.kill(job.pid, signal.SIGTERM)
    output = wait_for_end(job)
    assert job.returncode == 143, output
    assert "the time is up: submit the same command again to continue" in output
    assert list(home.glob("trials/*.running.pt"))
    assert_nothing_left(environment, home)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
