"""What the console shows of trials."""

from __future__ import annotations

from pathlib import Path

from support.trials import small
from vip5platform.console import TrialProgress, bars

from vip5core.errors import Failure
from vip5core.trial.spec import TrialSpec


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
        "waiting for 2 GPUs",
        "↻ RN50  node 10.0.0.7 was lost; continues after epoch 3 as soon as there is room",
        "↻ RN50  node 10.0.0.8 was lost; starts again as soon as there is room",
    ]
