"""What a study says of its progress, on a terminal and in a log file."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from support.finished import NDCG, finished_trial
from support.trials import small
from vip5platform import console
from vip5platform.console import Pace, TrialProgress, bars, be_quiet, say, warn

from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.trial.spec import TrialSpec


@pytest.fixture
def specs(tmp_path: Path) -> list[TrialSpec]:
    return [TrialSpec(small(epochs=2), tmp_path, tmp_path, None, name) for name in ("one", "two")]


@pytest.fixture
def loud():
    yield
    be_quiet(False)


def observer(specs: list[TrialSpec]) -> TrialProgress:
    progress = TrialProgress(bars(), lambda spec: f"level {spec.fingerprint}", len(specs))
    progress.pace = Pace(len(specs), iter(range(0, 10_000, 60)).__next__)  # a minute passes between two looks
    return progress


def test_a_log_file_gets_a_line_for_each_trial_that_ends(specs, tmp_path, capsys):
    progress = observer(specs)
    result = finished_trial(Home(tmp_path), "one", [1, 2], config=specs[0].config, metrics={NDCG: 0.5})
    progress.started(specs[0])
    progress.epoch(specs[0], {"epoch": 1.0, "valid/loss": 2.0})
    progress.finished(specs[0], result)
    progress.failed(specs[1], Failure(kind="diverged", message="no finite number"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "level one" in lines[0]
    assert "NDCG@10 0.5000" in lines[0]
    assert "1 of 2, about" in lines[0]
    assert lines[0].endswith("min left")
    assert lines[1].endswith("no finite number  2 of 2")


def test_a_running_trial_shows_epoch_loss_and_headline_metric_on_a_terminal(specs, monkeypatch):
    monkeypatch.setattr(console, "console", Console(force_terminal=True, width=160, file=open("/dev/null", "w")))  # noqa: SIM115
    progress = observer(specs)
    progress.started(specs[0])
    progress.epoch(specs[0], {"epoch": 1.0, "valid/loss": 2.0, "valid/sequential/ndcg_at_10": 0.25})
    study, trial = progress.progress.tasks
    assert (trial.completed, trial.total) == (1, 2)
    assert trial.fields["news"] == "loss 2.000  sequential NDCG@10 0.2500"
    assert (study.completed, study.total) == (0, 2)
    assert study.fields["news"].endswith("left")


def test_no_time_is_told_before_anything_is_known():
    pace = Pace(3)
    assert pace.left() == ""
    pace.start()
    assert pace.left() == ""
    for trial in "abc":
        pace.reach(trial, 1.0)  # its last epoch, which its test follows
        assert pace.ended == "abc".index(trial)
        pace.end(trial)
    assert (pace.ended, pace.left()) == (3, "")


def test_quiet_leaves_warnings(capsys, loud):
    be_quiet(True)
    say("news")
    warn("trouble")
    assert capsys.readouterr().out == "warning: trouble\n"


def test_a_log_file_gets_one_line_for_a_wait_and_one_for_a_retry(capsys):
    spec = TrialSpec(small(), Path(), Path(), None, "f")
    with bars() as progress:
        shown = TrialProgress(progress, lambda spec: "RN50", 2)
        for seconds in (20.0, 21.0, 100.0):
            shown.waiting("2 GPUs", seconds)
        assert progress.tasks[0].fields["news"] == "waiting for 2 GPUs, 1:40"
        shown.started(spec)
        shown.retried(spec, Failure(kind="node_lost", message="node 10.0.0.7 was lost"), 3)
        shown.retried(spec, Failure(kind="node_lost", message="node 10.0.0.8 was lost"), 0)
    assert capsys.readouterr().out.splitlines() == [
        "waiting for 2 GPUs  0 of 2",
        "↻ RN50  node 10.0.0.7 was lost; continues after epoch 3 as soon as there is room  0 of 2",
        "↻ RN50  node 10.0.0.8 was lost; starts again as soon as there is room  0 of 2",
    ]
