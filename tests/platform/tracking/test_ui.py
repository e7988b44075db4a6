"""The view of a study in MLflow's UI; whether the UI itself shows it is tried in a browser."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.finished import finished_trial
from support.trials import small
from vip5platform.analysis.record import StudyRecord
from vip5platform.cli.vip5 import main as vip5
from vip5platform.tracking.recorded import default_uri
from vip5platform.tracking.tracker import Tracker
from vip5platform.tracking.ui import artifact_address, ui_command, view_link, view_tag

from vip5core.home import Home
from vip5core.trial.spec import TrialSpec

NDCG = "test/sequential/ndcg_at_10"
#: Debian's name, and that of other distributions and systems.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def view(metrics: list[str], **changes: object) -> dict:
    given = {"name": "s", "parent": "p", "factors": ["encoder"], "metrics": metrics, "is_search": False}
    saved = json.loads(view_tag(**{**given, **changes})[1])
    return json.loads(saved["state"])


def test_a_view_shows_the_trials_of_one_study_the_best_first():
    state = view([NDCG, "cost/seconds"])
    assert "tags.`mlflow.parentRunId` = 'p'" in state["searchFilter"]
    assert state["selectedColumns"][0] == "tags.`vip5.level.encoder`"
    assert f"metrics.`{NDCG}`" in state["selectedColumns"]
    assert (state["orderByKey"], state["orderByAsc"]) == (f"metrics.`{NDCG}`", False)
    assert view(["cost/seconds"])["orderByAsc"]
    assert [chart["metricKey"] for chart in state["compareRunCharts"]] == [NDCG, "cost/seconds"]


def test_a_search_is_also_drawn_as_lines_through_its_settings():
    assert view([NDCG], is_search=True)["compareRunCharts"][-1]["selectedParams"] == ["encoder"]


def test_a_view_fits_into_a_tag():
    assert len(view_tag("s", "p", ["n"], [NDCG] * 200, is_search=False)[1]) <= 5000


def test_the_links_of_a_home_that_was_moved_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    home = Home(tmp_path)
    home.mlflow_database.touch()
    for key, uri in (("here", "sqlite:////before/mlflow.db"), ("away", "http://server:5000")):
        StudyRecord(
            kind="study", name="s", question=f"Which one {key}?", key=key, factors=["encoder"], metrics=[NDCG],
            settings={}, trials=[], baselines=[], command="", commit="", dirty=False, workers=1, gpus=0, cpus=1,
            parent=key, experiment="1", tracking_uri=uri,
        ).save(home)  # fmt: skip

    def replaced(program: str, command: list[str]) -> None:
        assert command[1:4] == ["-m", "mlflow", "ui"]
        sys.exit(0)

    monkeypatch.setattr(os, "execv", replaced)
    with pytest.raises(SystemExit) as left:
        vip5(["ui", "--home", str(tmp_path)])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "Which one here?" in printed
    assert "viewStateShareKey=here" in printed
    assert "away" not in printed


def test_the_command_can_be_pasted_whatever_the_home_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    uri = default_uri(Home(tmp_path / "it's mine"))
    assert shlex.split(ui_command(uri))[-3] == "sqlite:///it's mine/mlflow.db"
    assert view_link("http://host:1/", "3", "p").startswith("http://host:1/#/experiments/3/runs?")
    assert view_link(uri, "3", "p").startswith("http://localhost:5000/#/")


@pytest.fixture
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs a Chromium, such as Debian's package `chromium`")
    return found


@pytest.fixture
def recorded(tracked_home: Home) -> tuple[Home, Tracker]:
    """A recorded study of two trials, and a run that is none of its trials."""
    Tracker(default_uri(tracked_home), tracked_home, "another study", "k0", {}).close(
        succeeded=True, note="", tags={}, files=[], metrics={}
    )
    log = Tracker(default_uri(tracked_home), tracked_home, "the study", "k", {})
    for level, value in (("level-low", 0.25), ("level-high", 0.75)):
        config = small(seed=len(level))
        result = finished_trial(tracked_home, level, [1], config=config, metrics={NDCG: value})
        spec = TrialSpec(config, tracked_home.root, tracked_home.root, None, level)
        log.open(spec, level, {"encoder": f"{level}-shown"})
        log.finished(spec, result)
    plot = tracked_home.root / "plot.png"
    plot.write_bytes(b"\x89PNG")
    log.close(
        succeeded=True,
        note=f"**The answer.**\n\n![plot]({artifact_address(log.parent, plot.name)})\n\n| head |\n|---|\n| cell |\n",
        tags={},
        files=[plot],
        metrics={NDCG: 0.75},
        view=view_tag("the study", log.parent, ["encoder"], [NDCG], is_search=False),
    )
    return tracked_home, log


@pytest.fixture
def link(recorded: tuple[Home, Tracker]) -> Iterator[str]:
    """The link to the study that `vip5 ui` prints before it starts MLflow's UI."""
    home, log = recorded
    StudyRecord(
        kind="study", name="s", question="Which?", key="k", factors=["encoder"], metrics=[NDCG], settings={}, trials=[],
        baselines=[], command="", commit="", dirty=False, workers=1, gpus=0, cpus=1, parent=log.parent,
        experiment=log.experiment, tracking_uri=default_uri(home),
    ).save(home)  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vip5platform.cli", "ui", "--home", str(home), "--port", str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as ui:
        try:
            assert ui.stdout is not None
            assert ui.stdout.readline() == "Which?\n"
            printed = ui.stdout.readline().strip()
            _wait_for(printed.partition("#")[0], ui)
            yield printed
        finally:
            ui.terminate()  # which reaches MLflow, and by it its server


def _wait_for(address: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (OSError, urllib.error.URLError):
            time.sleep(0.5)
    raise AssertionError("MLflow's UI did not start")


def page(browser: str, address: str, profile: Path) -> str:
    """The text of a page once its scripts have run."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--window-size=1600,1000"]
    command = [browser, *options, "--virtual-time-budget=30000", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


def words(html: str) -> str:
    """What a reader sees of it."""
    return " ".join(re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL).split())


@pytest.mark.long
def test_mlflow_shows_the_trials_by_the_link_and_the_answer_on_the_study_s_run(recorded, link, browser, tmp_path):
    _, log = recorded
    server = link.partition("/#/")[0]
    charts = page(browser, link, tmp_path / "profile")
    assert charts.index(">level-high<") < charts.index(">level-low<")  # both are there, and the best comes first
    assert ">another study<" not in charts
    assert "answer (1)" in words(charts)
    table = page(browser, link.partition("&compareRunsMode")[0], tmp_path / "profile")
    assert "vip5.level.encoder" in table
    assert "level-high-shown" in table
    assert NDCG in table
    study = page(browser, f"{server}/#/experiments/{log.experiment}/runs/{log.parent}", tmp_path / "profile")
    assert study.index("The answer.") < study.index("get-artifact?path=plot.png") < study.index(">cell<")
    image = artifact_address(log.parent, "plot.png")
    assert urllib.request.urlopen(f"{server}/{image}", timeout=60).read() == b"\x89PNG"
