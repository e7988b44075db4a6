"""`vip5 recommend` and `vip5 export`, as their user meets them, up to a request that MLflow's server answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pytest
from support.commands import run_vip5
from vip5platform.tracking.tracker import Tracker

from vip5core.data.dataset import Dataset
from vip5core.home import Home
from vip5core.serving import ModelFiles, histories_of, load_exported
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec

pytestmark = pytest.mark.slow


def test_lists_for_all_some_and_unseen_users(
    trained: ModelFiles, trained_home: Home, shop: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("recommend", trained.trial.name[:8], "--home", trained_home, "--k", 3, "--device", "cpu")
    out = tmp_path / "lists.parquet"
    code, said, _ = run_vip5(capsys, *command, "--users", "all", "--out", out)
    assert code == 0
    assert "40 users in" in said
    assert "users/s" in said
    everybody = pd.read_parquet(out)
    assert everybody["user"].drop_duplicates().tolist() == shop.users["raw_id"].tolist()
    some = shop.users["raw_id"].head(2).tolist()
    (tmp_path / "some.txt").write_text("\n".join([*some, "nobody"]), "utf-8")
    code, said, _ = run_vip5(capsys, *command, "--users", tmp_path / "some.txt", "--out", tmp_path / "some.csv")
    assert "1 users are not in the dataset and get no list: 'nobody'" in said
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "some.csv"), everybody[everybody["user"].isin(some)], check_dtype=False
    )
    unseen = histories_of(shop, some).assign(user="somebody")
    unseen.loc[0, "item"] = "no such item"
    unseen.to_csv(tmp_path / "unseen.csv", index=False)
    code, said, _ = run_vip5(
        capsys, *command, "--histories", tmp_path / "unseen.csv", "--out", tmp_path / "unseen.jsonl"
    )
    assert "1 interactions with 1 items that the model does not know were left out: 'no such item'" in said
    assert pd.read_json(tmp_path / "unseen.jsonl", lines=True)["user"].tolist() == ["somebody"] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--users", "all", "--out", "lists.txt"), "must end in .parquet, .csv, .jsonl"),
        (("--users", "absent.csv", "--out", "lists.csv"), "--users 'absent.csv' cannot be read"),
        (("--users", "all", "--k", "0", "--out", "lists.csv"), "k=0: must be between 1"),
    ],
)
def test_bad_input_is_one_line(
    trained: ModelFiles,
    trained_home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run_vip5(capsys, "recommend", trained.trial.name, "--home", trained_home, *arguments)
    assert code == 2
    assert message in err
    assert err.splitlines()[-1].startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_are_gone_are_named(
    trained: ModelFiles, trained_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "home")
    shutil.copytree(trained.trial, home.trial(trained.trial.name))
    command = ("recommend", trained.trial.name, "--home", home, "--users", "all", "--out", tmp_path / "lists.csv")
    for folder, what in (
        ("datasets", "dataset 'minimart'"),
        ("backbones", "backbone 'tiny'"),
        ("features", "features"),
    ):
        code, _, err = run_vip5(capsys, *command)
        assert code == 2
        assert f"the trial's {what}" in err
        shutil.copytree(trained_home.root / folder, home.root / folder)
    assert run_vip5(capsys, *command)[0] == 0


@contextmanager
def served(command: str) -> Iterator[str]:
    """The address at which the server of a printed command answers, in a shell that knows no environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PATH": os.defpath}
    server = subprocess.Popen(
        f"{command} --port {port} --host 127.0.0.1", shell=True, env=environment, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{address}/ping", timeout=5) as answer:
                    if answer.status == 200:
                        break
            except OSError:
                assert server.poll() is None, "the server ended"
                time.sleep(0.5)
        yield address
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_a_registered_model_is_served_by_mlflow(
    trained: ModelFiles,
    trained_home: Home,
    shop: Dataset,
    tracked_home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = f"sqlite:///{tracked_home.mlflow_database}"
    result = TrialResult.load(trained.trial)
    log = Tracker(uri, tracked_home, "study", "key", {})
    spec = TrialSpec(result.config, trained.dataset, trained.backbone, trained.features, trained.trial.name)
    log.open(spec, "the level", {})
    log.finished(spec, result)
    ended = log.client.get_run(log.children[spec.fingerprint]).info
    command = ("export", spec.fingerprint, tmp_path / "model", "--home", trained_home)
    code, said, _ = run_vip5(capsys, *command, "--tracking-uri", uri, "--register", "shop")
    assert code == 0
    assert "models:/shop/1" in said
    now = log.client.get_run(ended.run_id)
    assert (now.info.status, now.info.end_time) == ("FINISHED", ended.end_time)
    version = log.client.get_model_version("shop", "1")
    assert version.run_id == ended.run_id
    histories = histories_of(shop, shop.users["raw_id"].head(3)).reset_index(drop=True)
    body = json.dumps({"dataframe_split": histories.to_dict("split"), "params": {"k": 4}}).encode()
    with served(said.partition("serve it: ")[2].splitlines()[0]) as address:
        request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            lists = pd.DataFrame(json.load(answer)["predictions"])
    expected = load_exported(tmp_path / "model").recommend(histories, k=4)
    pd.testing.assert_frame_equal(lists, expected, check_dtype=False, rtol=1e-4)


def test_an_export_needs_a_target_and_a_recorded_run(
    trained: ModelFiles, trained_home: Home, tracked_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("export", trained.trial.name, "--home", trained_home)
    code, _, err = run_vip5(capsys, *command)
    assert (code, "name the folder to write, or use --mlflow" in err) == (2, True)
    code, _, err = run_vip5(capsys, *command, "--mlflow", "--tracking-uri", f"sqlite:///{tracked_home.mlflow_database}")
    assert (code, "has no run in" in err) == (2, True)
