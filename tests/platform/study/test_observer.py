"""An MLflow that is away holds up no trial, and gets in the end what it missed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from mlflow import MlflowClient
from support.finished import finished_trial
from support.trials import small
from vip5platform.console import TrialProgress, bars
from vip5platform.study.event_queue import EventQueue
from vip5platform.study.observer import TrialObserver
from vip5platform.tracking import tracker as tracking
from vip5platform.tracking.recorded import default_uri
from vip5platform.tracking.system_metrics import SystemMetrics
from vip5platform.tracking.tracker import Tracker

from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.trial.spec import TrialSpec

LOST = Failure(kind="node_lost", message="node 10.0.0.7 was lost")


@pytest.fixture(params=["refuses", "hangs"])
def away(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that refuses connections, or accepts them and does not answer."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if request.param == "hangs":
            server.listen(100)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def observe(tracker: Tracker, trials: int, tell: Callable[[TrialObserver], None]) -> TrialObserver:
    """An observer after what `tell` has told it."""
    with EventQueue(lambda: tracker.missed) as events, bars() as progress:
        shown = TrialProgress(progress, lambda spec: spec.fingerprint, trials)
        observer = TrialObserver(tracker, lambda spec: (spec.fingerprint, {}), shown, events)
        tell(observer)
        return observer


@pytest.mark.slow
def test_the_use_of_the_machine_is_logged_while_a_trial_runs(tracked_home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    tracker = Tracker(default_uri(tracked_home), tracked_home, "study", "k", {})
    spec = TrialSpec(small(epochs=1), tracked_home.root, tracked_home.root, None, "one")
    before = set(threading.enumerate())

    def measured() -> dict[str, float]:
        known = tracker.client.get_run(tracker.children["one"]).data.metrics if "one" in tracker.children else {}
        return {name: value for name, value in known.items() if name.startswith("system/")}

    def tell(observer: TrialObserver) -> None:
        observer.system_metrics = SystemMetrics(tracker.uri)
        for _ in range(2):  # the second time after a lost process
            observer.started(spec)
        until = time.monotonic() + 60
        while not measured() and time.monotonic() < until:
            time.sleep(0.2)
        observer.failed(spec, LOST)

    observe(tracker, 1, tell)
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= measured().keys()
    monitors = [one for one in threading.enumerate() if one not in before and one.name == "SystemMetricsMonitor"]
    assert len(monitors) <= 1
    for one in monitors:
        one.join(30)
        assert not one.is_alive()


def steps(tracker: Tracker, fingerprint: str) -> list[int]:
    run = tracker.children[fingerprint]
    return [point.step for point in tracker.client.get_metric_history(run, "valid/loss")]


@pytest.mark.slow
def test_a_server_that_is_away_holds_up_no_trial_and_gets_in_the_end_what_it_missed(
    tracked_home: Home, away: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(tracking, "_QUICK_S", 1)
    home, config = tracked_home, small(epochs=20)
    tracker = Tracker(default_uri(home), home, "study", "k", {})
    client = tracker.client
    result = finished_trial(home, "good", [1], config=config)
    good, bad = (TrialSpec(config, home.root, home.root, None, name) for name in ("good", "bad"))

    def tell(observer: TrialObserver) -> None:
        observer.started(good)
        tracker.client = MlflowClient(tracking_uri=away)
        begin = time.monotonic()
        for metrics in result.history:
            observer.epoch(good, metrics)
        observer.finished(good, result)
        observer.started(bad)
        observer.epoch(bad, result.history[0])
        observer.failed(bad, LOST)
        assert time.monotonic() - begin < 1

    begin = time.monotonic()
    observer = observe(tracker, 2, tell)
    assert time.monotonic() - begin < 15
    assert tracker.missed
    assert capsys.readouterr().out.count("MLflow is unreachable") == 1

    tracker.client = client  # it is back
    tracker.wait_for_answer()
    assert not tracker.missed
    observer.catch_up(bad)
    tracker.open(good, "good", {})
    tracker.finished(good, result)
    assert steps(tracker, "good") == list(range(1, 21))
    assert steps(tracker, "bad") == [1]
    status = {name: client.get_run(run).info.status for name, run in tracker.children.items()}
    assert status == {"good": "FINISHED", "bad": "FAILED"}


@pytest.mark.slow
def test_the_wait_for_a_server_that_stays_away_comes_to_an_end(tracked_home: Home, away: str, monkeypatch):
    monkeypatch.setattr(tracking, "_QUICK_S", 1)
    monkeypatch.setattr(tracking, "_RESTART_S", 2)
    tracker = Tracker(default_uri(tracked_home), tracked_home, "study", "k", {})
    tracker.client, tracker.missed = MlflowClient(tracking_uri=away), True
    begin = time.monotonic()
    tracker.wait_for_answer()
    assert tracker.missed
    assert time.monotonic() - begin < 6
    with tracker.recording():  # once more, and quickly
        tracker.client.get_run(tracker.parent)
    assert time.monotonic() - begin < 9
    tracker.mark_killed()
    assert time.monotonic() - begin < 12


@pytest.mark.slow
def test_a_retried_trial_that_no_server_heard_of_has_each_epoch_once(tracked_home: Home):
    home, config = tracked_home, small(epochs=3)
    tracker = Tracker(default_uri(home), home, "study", "k", {})
    result = finished_trial(home, "good", [1], config=config)
    spec = TrialSpec(config, home.root, home.root, None, "good")
    client, tracker.client = tracker.client, MlflowClient(tracking_uri="http://127.0.0.1:9")

    def tell(observer: TrialObserver) -> None:
        observer.started(spec)
        observer.epoch(spec, result.history[0])
        observer.retried(spec, LOST)
        for metrics in result.history[:2]:
            observer.epoch(spec, metrics)
        observer.failed(spec, LOST)

    observer = observe(tracker, 1, tell)
    tracker.client = client
    tracker.wait_for_answer()
    observer.catch_up(spec)
    assert steps(tracker, "good") == [1, 2]
