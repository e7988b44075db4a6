"""The MLflow server of a cluster, started by the cluster's own script, killed, and moved to a new machine."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from support.imports import ROOT
from support.postgresql import postgresql_server
from vip5platform.tracking import server
from vip5platform.tracking.server import ServerSettings, Supervisor, serve

from vip5core.errors import UserError

SCRIPT = ROOT / "cluster" / "mlflow.sh"


class Head:
    """A machine on which `mlflow.sh` is run: a folder as its home, a port."""

    def __init__(self, folder: Path, storage: Path) -> None:
        self.home, self.storage, self.mlflow = folder, storage, folder / "mlflow"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        command = folder / "bin" / "vip5"
        command.parent.mkdir(parents=True)
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m vip5platform.cli "$@"\n')
        command.chmod(0o755)
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "PATH": f"{command.parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }

    def script(self, *words: str) -> None:
        subprocess.run(["bash", SCRIPT, *words], env=self.environment, check=True, timeout=150)

    def start(self, database: str, *more: str) -> None:
        self.script(database, str(self.storage), "--port", str(self.port), "--copy-every", "2", *more)
        self.wait_for(self.answers)

    def stop(self) -> None:
        self.script("stop")

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
        except (OSError, urllib.error.URLError):
            return False
        return True

    def wait_for(self, condition: Callable[[], object], seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.3)

    def log(self) -> str:
        return (self.mlflow / "server.log").read_text()

    def supervisor(self) -> psutil.Process:
        return psutil.Process(int((self.mlflow / "server.pid").read_text()))

    def record_run(self) -> str:
        client = MlflowClient(self.uri)
        return str(client.create_run(client.create_experiment("vip5")).info.run_id)

    def has(self, run: str) -> bool:
        return str(MlflowClient(self.uri).get_run(run).info.run_id) == run

    def copy_of_today(self, suffix: str = ".db") -> Path:
        (copy,) = (self.storage / "copies").glob(f"mlflow-*{suffix}")
        return copy


@pytest.fixture
def new_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Head]]:
    """Makes machines by name, which share their storage."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    made: list[Head] = []

    def make(name: str) -> Head:
        made.append(Head(tmp_path / name, tmp_path / "storage"))
        return made[-1]

    yield make
    for head in made:
        head.stop()


def runs_in(copy: Path) -> set[str]:
    with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as database:
        return {run for (run,) in database.execute("select run_uuid from runs")}


def private(folder: Path) -> dict[str, str]:
    """The files that others than their user may read."""
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    return {name: oct(mode) for name, mode in modes.items() if mode & 0o077}


@pytest.mark.long
def test_a_server_that_dies_comes_back_with_its_runs_and_moves_with_them(new_head, monkeypatch):
    head = new_head("one")
    head.start("sqlite")
    run = head.record_run()
    supervisor = head.supervisor()
    (before,) = supervisor.children()
    os.kill(before.pid, signal.SIGKILL)  # MLflow's command alone: its worker lives on and holds the port
    head.wait_for(lambda: "MLflow ended with -9" in head.log())
    head.wait_for(lambda: head.answers() and supervisor.children() != [before])
    assert head.has(run)
    head.wait_for(lambda: run in runs_in(head.copy_of_today()))
    assert private(head.mlflow) == {}
    assert private(head.storage) == {}

    mlflow = supervisor.children(recursive=True)
    supervisor.kill()  # what is left is taken over by the script
    psutil.wait_procs(mlflow, timeout=60)
    assert [process for process in mlflow if process.is_running()] == []
    head.start("sqlite")
    late = MlflowClient(head.uri).create_run(MlflowClient(head.uri).get_run(run).info.experiment_id).info.run_id
    head.stop()
    assert not head.answers()
    assert runs_in(head.copy_of_today()) == {run, late}

    other = new_head("two")  # its disk is empty
    other.start("sqlite")
    assert other.has(run)
    assert other.has(late)


#: Answers to the first looks at it, and then takes connections without an answer; notes how often it was started.
_HANGING = """
import itertools, pathlib, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

starts = pathlib.Path(sys.argv[2])
starts.write_text(starts.read_text() + "x")
looks = itertools.count()

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if starts.read_text() == "x" and next(looks) > 1:
            threading.Event().wait()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_that_hangs_is_replaced(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(server, "_LOOK_S", 0.2)
    monkeypatch.setattr(server, "_SILENT_S", 0.5)
    starts = tmp_path / "starts"
    starts.write_text("")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    supervisor = Supervisor([sys.executable, "-c", _HANGING, str(port), str(starts)], dict(os.environ), port)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while starts.read_text() != "xx" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert starts.read_text() == "xx"
    finally:
        supervisor.stopped.set()
        thread.join()
    assert "MLflow does not answer; starts again in 2 s" in capfd.readouterr().out


@pytest.mark.long
def test_a_server_that_others_reach_asks_for_a_password(new_head, monkeypatch, capfd):
    pytest.importorskip("flask_wtf", reason="needs the extra `server`")
    head = new_head("one")
    head.start("sqlite", "--auth", "--host", "0.0.0.0")
    with pytest.raises(MlflowException, match="not authenticated"):
        head.record_run()
    credentials = head.home / ".mlflow" / "credentials"
    password = credentials.read_text().rpartition("= ")[2].strip()
    monkeypatch.setenv("HOME", str(head.home))  # where MLflow's clients look for them
    assert head.has(head.record_run())
    assert private(head.mlflow) == {}
    seen = head.log() + "".join(capfd.readouterr())
    assert password not in seen
    assert all(password not in word for p in head.supervisor().children(recursive=True) for word in p.cmdline())


@pytest.mark.long
def test_runs_in_postgresql_move_too(new_head):
    pytest.importorskip("psycopg", reason="needs the extra `server`")
    with postgresql_server() as psql:
        head = new_head("one")
        head.start("postgresql")
        run = head.record_run()
        head.stop()
        psql("drop database mlflow", "postgres")
        head.start("postgresql")
        assert head.has(run)
        head.stop()
        assert head.copy_of_today(".dump").stat().st_size > 0


def test_a_server_that_others_reach_is_refused_without_authentication(tmp_path):
    with pytest.raises(UserError, match=r"--host 0\.0\.0\.0: .* add --auth, or leave it at 127\.0\.0\.1"):
        serve(ServerSettings(tmp_path / "folder", str(tmp_path), host="0.0.0.0"))
    assert not (tmp_path / "folder").exists()
