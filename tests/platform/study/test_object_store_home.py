"""A study over nodes that share no disk: its home is an object store, and each node has a cache of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from support.imports import ROOT
from support.object_store import StoreServer
from vip5platform.cli.vip5 import main as vip5

from vip5core.home import CACHE, Home
from vip5core.trial.result import TrialResult
from vip5core.trial.run import run_trial
from vip5core.trial.spec import TrialSpec

pytestmark = pytest.mark.long

_STUDY = """
import vip5core.lease
from vip5platform import Study, factor, main
vip5core.lease._LEASE_S = 6.0
main(Study("store", "Which?", (factor("image_tokens", 1, 2, 3),)))
"""
_SMALL = [
    *("--dataset", "minimart:40", "--p5-epochs", "1", "--epochs", "2", "--gpus-per-worker", "0"),
    *("--baselines", "popularity,sasrec", "--set", "test_users=20", "validation_users=10", "train_candidates=5"),
    *("num_beams=10", "max_target_tokens=8"),
]


class Nodes:
    """Ray nodes without a common disk, and drivers that join them.

    Args:
        folder: Holds the cache of each.
        address: The home.
        ray: The address of the cluster.
    """

    def __init__(self, folder: Path, address: str, ray: str) -> None:
        self.folder, self.address, self.ray = folder, address, ray

    def start(self, cache: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _STUDY, *_SMALL, "--home", self.address, "--address", self.ray]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, CACHE: str(self.folder / cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def caches(self, what: str) -> set[str]:
        """The nodes that have something of this kind."""
        return {path.name for path in self.folder.iterdir() if any(path.rglob(what))}


@pytest.fixture
def nodes(bucket: str, tmp_path: Path) -> Iterator[Nodes]:
    """A head and two more nodes, each with a CPU."""
    cluster = Cluster()
    try:
        for name in ("head", "second", "third"):
            cluster.add_node(num_cpus=1, env_vars={CACHE: str(tmp_path / "caches" / name)}, include_dashboard=False)
        yield Nodes(tmp_path / "caches", bucket, cluster.address)
    finally:
        cluster.shutdown()


def finished(home: Home) -> dict[str, str]:
    """The finished trials in the store, each with the object that holds it."""
    store = home.store
    assert store is not None
    found = [name for name in store._names("trials") if not name.endswith(".pt")]
    packs = {name: store._find(f"trials/{name}") for name in found}
    return {name: pack.pack for name, pack in packs.items() if pack is not None}


def wait_for(condition: object, driver: subprocess.Popen[str]) -> None:
    while not condition():  # type: ignore[operator]
        assert driver.poll() is None, driver.communicate()[0][-3000:]
        time.sleep(0.2)


def test_a_study_goes_on_on_another_host_after_its_driver_was_killed(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path / "observer"))
    home = Home.at(nodes.address)
    first = nodes.start("driver one")
    wait_for(lambda: finished(home), first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = finished(home)
    second = nodes.start("driver two")
    told = second.communicate(timeout=600)[0]
    assert second.returncode == 0, told[-3000:]
    after = finished(home)
    assert len(after) == 3
    assert before.items() <= after.items()  # none was run again
    assert f"{len(before)} of 3 trials were finished before" in told
    assert len(nodes.caches("items.parquet") & {"head", "second", "third"}) >= 2  # trials ran on several nodes
    assert not any(tmp_path.rglob("s3:"))
    assert not any((ROOT / "s3:").glob("*"))

    with pytest.raises(SystemExit) as left:
        vip5(["report", "store", "--home", nodes.address])
    assert left.value.code == 0
    assert len([*home.reports.glob("*/report.html")]) == 1  # on a host that has run nothing
    result = TrialResult.load(home.fetch(home.trial(next(iter(after)))))
    assert result.history == alone(result, home, tmp_path).history


def alone(result: TrialResult, home: Home, tmp_path: Path) -> TrialResult:
    """The same trial in this process, in a home that is a folder."""
    record = result.record
    dataset = next(path for path in home.fetch_all(home.datasets).iterdir() if path.is_dir())
    backbone = next(path for path in home.fetch_all(home.backbones).iterdir() if path.is_dir())
    assert record.features is not None
    spec = TrialSpec.of(result.config, dataset, backbone, home.fetch(home.features / record.features))
    assert spec.fingerprint == record.fingerprint
    return TrialResult.load(run_trial(spec, Home(tmp_path / "alone"), lambda metrics: None))


def test_a_bucket_that_is_not_there_costs_one_line(
    bucket: str, store_server: StoreServer, capsys: pytest.CaptureFixture[str]
) -> None:
    from vip5platform import Study, factor, main

    with pytest.raises(SystemExit) as left:
        main(Study("store", "Which?", (factor("image_tokens", 1, 2),)), ["--home", "s3://nowhere/runs"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --home 's3://nowhere/runs' cannot be used: ")
    assert said.count("\n") == 1
