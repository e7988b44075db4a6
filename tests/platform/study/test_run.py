"""A study from its command line to its answer, on real Ray and real MLflow."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from vip5platform import Study, factor, main
from vip5platform.cli.vip5 import main as vip5
from vip5platform.tracking import EXPERIMENT, default_uri

from vip5core.home import Home
from vip5core.storage import exclusive_lock

pytestmark = pytest.mark.slow

SMALL = [
    *("--dataset", "minimart:40", "--p5-epochs", "1", "--epochs", "2", "--baselines", "popularity,random"),
    *("--set", "test_users=20", "validation_users=10", "train_candidates=5", "num_beams=10", "max_target_tokens=8"),
]


def run(study: Study, home: Path, *more: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(study, [*SMALL, "--home", str(home), *more])
    return int(left.value.code)


def study(*encoders: str) -> Study:
    return Study("encoders", "Which encoder?", (factor("encoder", *encoders),))


def child_runs(home: Path) -> pd.DataFrame:
    client = MlflowClient(default_uri(Home(home)))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    rows = [
        {"name": run.info.run_name, "status": run.info.status, "parent": run.data.tags.get("mlflow.parentRunId")}
        for run in client.search_runs([experiment.experiment_id])
    ]
    return pd.DataFrame(rows)


def finished_trials(home: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in (home / "trials").glob("*/result.json")}


def processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_a_study_runs_once_and_widens(tmp_path, capsys):
    home = tmp_path / "home"
    before = processes()
    assert run(study("RN50", "ViT-B/32"), home) == 0
    out = capsys.readouterr().out
    assert "popularity" in out
    assert "mlflow ui" in out
    first = finished_trials(home)
    assert len(first) == 2
    (folder,) = (home / "reports").iterdir()
    written = {"report.html", "report.md", "trials.csv", "comparisons.csv", "plot.png", "study.json"}
    assert {path.name for path in folder.iterdir()} == {*written, ".lock"}
    trials = pd.read_csv(folder / "trials.csv")
    assert trials["encoder"].tolist() == ["RN50", "ViT-B/32"]
    assert trials["test/sequential/ndcg_at_10"].notna().all()
    runs = child_runs(home)
    assert sorted(runs["status"]) == ["FINISHED"] * 3
    assert runs["parent"].notna().sum() == 2

    # Again: nothing is trained, and it says so.
    assert run(study("RN50", "ViT-B/32"), home) == 0
    assert "nothing to train" in capsys.readouterr().out
    assert finished_trials(home) == first
    assert len(child_runs(home)) == 3

    # One level more: that level alone is trained, in the same parent run.
    assert run(study("RN50", "ViT-B/32", "RN101"), home) == 0
    assert "2 of 3 trials were finished before; 1 to train" in capsys.readouterr().out
    after = finished_trials(home)
    assert first.items() <= after.items()
    assert len(after) == 3
    runs = child_runs(home)
    assert len(runs) == 4
    assert len(set(runs["parent"].dropna())) == 1

    # Another study shares the trials, a dry run knows it, and the report can be written again.
    other = Study("tokens", "How many?", (factor("image_tokens", 0, 2),))
    assert run(other, home, "--dry-run", "--levels", "image_tokens=2") == 0
    assert "Nothing is left to train" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        vip5(["report", "encoders", "--home", str(home)])
    assert left.value.code == 0
    assert "popularity" in capsys.readouterr().out

    # By force: what was there is kept, and its run goes into MLflow's bin.
    assert run(study("RN50"), home, "--force") == 0
    forced = finished_trials(home)
    assert forced.keys() == after.keys()
    assert len([name for name in after if forced[name] != after[name]]) == 1
    assert len(list((home / "trials" / ".replaced").iterdir())) == 1
    assert len(child_runs(home)) == 4

    # Nothing is left but what the study wrote under its home.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
    assert not list(home.rglob("*.part"))
    assert not list(home.glob("tune-*"))
    assert processes() <= before


def test_inputs_that_cannot_be_prepared_leave_a_gap_and_a_second_driver_is_refused(tmp_path, capsys):
    home = tmp_path / "home"
    ids = Study("ids", "Which ids?", (factor("dataset", "minimart:40", "minimart:nonsense"),), {"image_tokens": 0})
    small = [*SMALL[2:], "--home", str(home)]
    with pytest.raises(SystemExit) as left:
        main(ids, small)
    assert left.value.code == 1
    assert "must be" in capsys.readouterr().out
    (report,) = (home / "reports").rglob("report.md")
    assert "minimart:nonsense" in report.read_text()
    with exclusive_lock(report.parent / ".lock", "taken"), pytest.raises(SystemExit) as left:
        main(ids, small)
    assert left.value.code == 2
    assert "already running" in capsys.readouterr().err


def test_an_interrupted_study_says_so_and_leaves_no_run_running(tmp_path):
    home = tmp_path / "home"
    script = (
        "from vip5platform import *; import sys; main(Study('s', 'Which?', (factor('encoder', 'RN50'),)), sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, *SMALL, "--home", str(home), "--epochs", "200"]
    study_process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not list((home / "trials").glob("*.running.pt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    study_process.send_signal(signal.SIGINT)
    _, errors = study_process.communicate(timeout=120)
    assert study_process.returncode == 130, errors[-2000:]
    assert "run the same command again to continue" in errors
    assert "Traceback" not in errors
    assert set(child_runs(home)["status"]) == {"KILLED"}
    assert finished_trials(home) == {}


def test_a_killed_trial_leaves_a_hole_and_the_rest_goes_on(tmp_path, capsys):
    """One trial process is killed in training; the study ends with the other, and a second call mends the hole."""
    home = tmp_path / "home"
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 240
        while not killed and time.monotonic() < deadline:
            if list((home / "trials").glob("*.running.pt")):  # a trial is past its first epoch
                for child in psutil.Process().children(recursive=True):
                    title = " ".join(child.cmdline()[:1])
                    if (title.startswith("ray::") and "train" in title.lower()) or "ImplicitFunc" in title:
                        child.kill()
                        killed.append(child.pid)
                        break
            time.sleep(0.05)

    watcher = threading.Thread(target=kill_one)
    watcher.start()
    code = run(study("RN50", "ViT-B/32"), home, "--epochs", "12")
    watcher.join()
    out = capsys.readouterr().out
    assert killed
    assert code == 1
    assert "its process died" in out
    assert len(finished_trials(home)) == 1
    assert sorted(child_runs(home)["status"]) == ["FAILED", "FINISHED", "FINISHED"]
    assert "its process died" in next((home / "reports").rglob("report.md")).read_text()

    assert run(study("RN50", "ViT-B/32"), home, "--epochs", "12") == 0
    assert "1 of 2 trials were finished before; 1 to train" in capsys.readouterr().out
    assert sorted(child_runs(home)["status"]) == ["FINISHED"] * 3
