"""A study from its command line to its answer, on real Ray and real MLflow."""

from __future__ import annotations

import collections
import contextlib
import io
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from support.processes import left_of, started_by
from vip5platform import Factor, Study, factor, main
from vip5platform.cli.vip5 import main as vip5
from vip5platform.cluster.resources import ClusterResources
from vip5platform.options import Options
from vip5platform.study import session
from vip5platform.study.run import run as run_declared
from vip5platform.tracking.recorded import P5_STAGE, default_uri
from vip5platform.tracking.tracker import EXPERIMENT

from vip5core.data.dataset import Dataset
from vip5core.home import Home
from vip5core.storage import exclusive_lock

pytestmark = pytest.mark.slow

SETTINGS = ("test_users=20", "validation_users=10", "train_candidates=5", "num_beams=10", "max_target_tokens=8")
SMALL = [
    *("--dataset", "minimart:40", "--p5-epochs", "1", "--epochs", "2", "--baselines", "popularity,random"),
    *("--set", *SETTINGS),
]


def run(study: Study, home: Home, *more: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(study, [*SMALL, "--home", str(home), *more])
    return int(left.value.code)


def study(*encoders: str) -> Study:
    return Study("encoders", "Which encoder?", (factor("encoder", *encoders),))


def all_runs(home: Home) -> list[Run]:
    client = MlflowClient(default_uri(home))
    return list(client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id]))


def recorded_runs(home: Home) -> list[Run]:
    """The runs of studies and trials."""
    return [run for run in all_runs(home) if P5_STAGE not in run.data.tags]


def stage_runs(home: Home) -> list[Run]:
    """The runs of P5 stages."""
    return [run for run in all_runs(home) if P5_STAGE in run.data.tags]


def child_runs(home: Home) -> pd.DataFrame:
    rows = [
        {"name": run.info.run_name, "status": run.info.status, "parent": run.data.tags.get("mlflow.parentRunId")}
        for run in recorded_runs(home)
    ]
    return pd.DataFrame(rows)


def finished_trials(home: Home) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in home.trials.glob("*/result.json")}


def processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@dataclass
class FirstRun:
    """A study that was run in an empty home.

    Attributes:
        home: where.
        succeeded: whether all trials finished.
        out: what it printed.
        opened: how often this process read each dataset's folder.
        left: processes that it started and did not end.
    """

    home: Home
    succeeded: bool
    out: str
    opened: dict[Path, int]
    left: set[int]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    """The study of two encoders, run once; its inputs serve the other tests, too."""
    home, before = Home(tmp_path_factory.mktemp("study") / "home"), processes()
    opened: dict[Path, int] = collections.Counter()
    load = Dataset.load

    def counted(folder: str | Path) -> Dataset:
        opened[Path(folder)] += 1
        return load(folder)

    options = Options(
        dataset="minimart:40",
        p5_epochs=1,
        epochs=2,
        baselines=("popularity", "random"),
        settings=tuple((key, value) for key, _, value in (text.partition("=") for text in SETTINGS)),
        home=home.root,
    )
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(Dataset, "load", staticmethod(counted))
        succeeded = run_declared(study("RN50", "ViT-B/32"), options)
    return FirstRun(home, succeeded, out.getvalue(), opened, processes() - before)


@pytest.fixture
def shared_ray(first: FirstRun, ray_two_cpus: ClusterResources, monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of this process, after the first, run on one Ray: to start another for each takes seconds."""
    monkeypatch.setattr(session, "ray_session", lambda address: contextlib.nullcontext(ray_two_cpus))


@pytest.fixture
def home(first: FirstRun, tracked_home: Home) -> Home:
    """A home without trials in which the dataset, the backbone and the features of the first study are there."""
    for folder in (first.home.datasets, first.home.backbones, first.home.features):
        shutil.copytree(folder, tracked_home.root / folder.name)
    return tracked_home


def test_a_study_trains_reports_and_records_its_trials(first):
    assert first.succeeded
    assert "popularity" in first.out
    assert "mlflow ui" in first.out
    assert "viewStateShareKey=" in first.out
    assert "1 of 2" in first.out
    assert len(finished_trials(first.home)) >= 2
    assert "P5 stage + features" in first.out
    (folder,) = first.home.reports.glob("encoders-*")
    written = {"report.html", "report.md", "answer.txt", "trials.csv", "comparisons.csv", "plot.png", "study.json"}
    assert {path.name for path in folder.iterdir()} == {*written, ".lock", ".content"}
    trials = pd.read_csv(folder / "trials.csv")
    assert trials["encoder"].tolist()[:2] == ["RN50", "ViT-B/32"]
    assert trials["test/sequential/ndcg_at_10"].notna().all()
    # Nothing is left but what the study wrote under its home.
    assert [path.name for path in first.home.root.parent.iterdir()] == ["home"]
    assert not list(first.home.root.rglob("*.part"))
    assert not list(first.home.root.glob("tune-*"))
    assert not first.left


def test_the_driver_reads_each_dataset_once(first):
    (dataset,) = first.home.datasets.iterdir()
    assert {folder.resolve(): times for folder, times in first.opened.items()} == {dataset.resolve(): 1}


def test_a_finished_study_does_without_large_packages(first):
    script = (
        "import sys; from vip5platform import Study, factor, main\n"
        "study = Study('encoders', 'Which encoder?', (factor('encoder', 'RN50', 'ViT-B/32'),))\n"
        "try: main(study, sys.argv[1:])\n"
        "except SystemExit as left: assert not left.code\n"
        "assert not {'torch', 'transformers', 'ray', 'optuna', 'nltk'} & set(sys.modules), sorted(sys.modules)"
    )
    command = [sys.executable, "-c", script, *SMALL, "--home", str(first.home)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "nothing to train" in done.stdout


@pytest.mark.usefixtures("shared_ray")
def test_a_study_runs_once_and_widens(first, capsys):
    home = first.home
    trained = finished_trials(home)
    assert len(trained) == 2
    runs = child_runs(home)
    assert sorted(runs["status"]) == ["FINISHED"] * 3
    assert runs["parent"].notna().sum() == 2
    (stage,) = stage_runs(home)
    assert stage.info.status == "FINISHED"
    assert stage.data.tags["mlflow.parentRunId"] == runs["parent"].dropna().iloc[0]

    # Again: nothing is trained, and it says so; Ray is not even started.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "ray_session", pytest.fail)
        assert run(study("RN50", "ViT-B/32"), home) == 0
    assert "nothing to train" in capsys.readouterr().out
    assert finished_trials(home) == trained
    assert len(child_runs(home)) == 3

    # One level more: that level alone is trained, in the same parent run.
    levels = {**factor("encoder", "RN50", "ViT-B/32").levels, "text-only": {"image_tokens": 0}}
    assert run(Study("encoders", "Which encoder?", (Factor("encoder", levels),)), home) == 0
    assert "2 of 3 trials were finished before; 1 to train" in capsys.readouterr().out
    after = finished_trials(home)
    assert trained.items() <= after.items()
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
    assert len(list(home.replaced_trials.iterdir())) == 1
    assert len(child_runs(home)) == 4

    # All of them started from one backbone, whose P5 stage is recorded once.
    (again,) = stage_runs(home)
    assert again.info.run_id == stage.info.run_id
    parents = [run for run in recorded_runs(home) if "mlflow.parentRunId" not in run.data.tags]
    assert {run.data.tags["vip5.p5_stages"] for run in parents} == {stage.data.tags[P5_STAGE]}
    trials = [run for run in recorded_runs(home) if "mlflow.parentRunId" in run.data.tags]
    backbone = stage.data.tags["vip5.backbone_fingerprint"]
    assert {run.data.tags["vip5.backbone_fingerprint"] for run in trials} == {backbone}
    assert not list(home.root.rglob("*.part"))
    assert not list(home.root.glob("tune-*"))


@pytest.mark.usefixtures("shared_ray")
def test_inputs_that_cannot_be_prepared_leave_a_gap_and_a_second_driver_is_refused(home, capsys):
    ids = Study("ids", "Which ids?", (factor("dataset", "minimart:40", "minimart:nonsense"),), {"image_tokens": 0})
    small = [*SMALL[2:], "--home", str(home)]
    with pytest.raises(SystemExit) as left:
        main(ids, small)
    assert left.value.code == 1
    assert "must be" in capsys.readouterr().out
    (report,) = home.reports.rglob("report.md")
    assert "minimart:nonsense" in report.read_text()
    with exclusive_lock(report.parent / ".lock", "taken"), pytest.raises(SystemExit) as left:
        main(ids, small)
    assert left.value.code == 2
    assert "already running" in capsys.readouterr().err


@pytest.mark.usefixtures("shared_ray")
def test_a_study_has_failed_as_long_as_no_trial_of_it_has_finished(home, capsys):
    settings = {"image_tokens": 0, "tuning": "full", "clip": 1e30}
    rates = Study("rates", "Which rate?", (factor("learning_rate", 1e30, 1e-3),), settings)
    assert run(rates, home, "--levels", "learning_rate=1e+30") == 1
    assert "No trial has finished" in capsys.readouterr().out
    runs = recorded_runs(home)
    assert [run.info.status for run in runs] == ["FAILED", "FAILED"]
    (child,) = (run for run in runs if "mlflow.parentRunId" in run.data.tags)
    assert child.data.tags["vip5.failure_kind"] == "diverged"
    assert child.data.tags["vip5.failure"].startswith("DivergedError: the training loss is")
    (report,) = home.reports.rglob("report.md")
    assert child.data.tags["vip5.failure"] in report.read_text()

    assert run(rates, home) == 1
    parents = [run for run in recorded_runs(home) if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert sorted(child_runs(home)["status"]) == ["FAILED", "FINISHED", "FINISHED"]


def test_an_interrupted_study_says_so_and_leaves_no_run_and_no_process_running(home):
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background job ignores it
        "from vip5platform import *; import sys; main(Study('s', 'Which?', (factor('encoder', 'RN50'),)), sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, *SMALL, "--home", str(home), "--epochs", "200"]
    study_process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not list(home.trials.glob("*.running.pt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    started = started_by(study_process.pid)
    assert any("ray::" in process.name() for process in started)
    study_process.send_signal(signal.SIGINT)
    _, errors = study_process.communicate(timeout=120)
    assert study_process.returncode == 130, errors[-2000:]
    assert "run the same command again to continue" in errors
    assert "Traceback" not in errors
    assert left_of(started) == []
    assert set(child_runs(home)["status"]) == {"KILLED"}
    assert finished_trials(home) == {}


@pytest.mark.long
@pytest.mark.usefixtures("shared_ray")
def test_a_killed_trial_goes_on_in_the_same_study(home, capsys):
    """One trial process is killed in training; the study starts another, which continues."""
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 240
        while not killed and time.monotonic() < deadline:
            if list(home.trials.glob("*.running.pt")):  # a trial is past its first epoch
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
    assert code == 0
    assert "↻" in out
    assert len(finished_trials(home)) == 2
    assert set(child_runs(home)["status"]) == {"FINISHED"}
    client = MlflowClient(default_uri(home))
    for trial in (run for run in recorded_runs(home) if "mlflow.parentRunId" in run.data.tags):
        losses = client.get_metric_history(trial.info.run_id, "train/loss")
        assert [loss.step for loss in losses] == list(range(1, 13))
