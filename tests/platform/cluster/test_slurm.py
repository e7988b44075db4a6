"""The batch script for Slurm, run on this machine: `srun` is a script that starts the tasks here."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
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


def test_a_study_runs_on_the_nodes_of_a_job_and_nothing_is_left(environment, tmp_path):
    home = tmp_path / "home"
    study = ["reduction-ablation", "--dataset", "minimart:40", "--levels", "reduction_factor=8,16", "--epochs", "1"]
    done = subprocess.Popen(
        ["bash", ROOT / "cluster" / "slurm.sh", home, *study, "--p5-epochs", "1", "--baselines", "popularity"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = done.communicate(timeout=580)
    except subprocess.TimeoutExpired:
        os.killpg(done.pid, signal.SIGKILL)
        raise
    assert done.returncode == 0, output
    assert len(list((home / "trials").glob("*/result.json"))) == 2
    assert list((home / "reports").glob("*/report.html"))
    assert list((home / "mlflow-reduction-ablation" / "copies").glob("mlflow-*.db"))
    assert not list(home.glob("mlflow.db"))  # a home is on a network's file system
    local = Path(f"/tmp/vip5-{environment['SLURM_JOB_ID']}")
    assert not local.exists()
    assert [p for p in psutil.process_iter() if any(str(local) in word for word in _words(p))] == []


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
