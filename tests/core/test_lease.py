"""Of two processes on machines without a common disk, one holds the lease; a dead one does not hold it for long."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from vip5core import lease
from vip5core.errors import UserError
from vip5core.lease import Lease, hold_lease
from vip5core.object_store import ObjectStore
from vip5core.storage import machine_name

NAME = "leases/study.json"
SHORT = 1.5


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_LEASE_S", SHORT)


def hold(store: ObjectStore, told: list[str] | None = None) -> AbstractContextManager[None]:
    return hold_lease(store, NAME, "the study is already running", (told if told is not None else []).append)


def left_by(store: ObjectStore, machine: str, until: float, process: int = 1) -> None:
    left = Lease(holder="other", machine=machine, process=process, until=until)
    store.write(NAME, left.model_dump_json().encode())


@pytest.mark.slow
def test_who_holds_the_lease_keeps_others_out_and_gives_it_back(bucket: str) -> None:
    store = ObjectStore(bucket)
    with hold(store):
        time.sleep(SHORT)  # it is renewed
        with pytest.raises(UserError, match="already running"), hold(store):
            pytest.fail("two hold it")
    assert store.read(NAME) is None
    with hold(store):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_the_lease_of_a_killed_process_elsewhere_runs_out_whatever_its_clock_was(bucket: str, ahead: float) -> None:
    store, told = ObjectStore(bucket), []
    left_by(store, "elsewhere", time.time() + ahead)
    begin = time.monotonic()
    with hold(store, told):
        assert time.monotonic() - begin >= SHORT
    assert "elsewhere" in told[0]


def test_a_holder_whose_clock_is_slow_keeps_others_out(bucket: str) -> None:
    store = ObjectStore(bucket)
    left_by(store, "elsewhere", time.time() - 3600)

    def renew(told: str) -> None:
        left_by(store, "elsewhere", time.time() - 3600)

    refused = pytest.raises(UserError, match=r"already running \(on elsewhere\)")
    with refused, hold_lease(store, NAME, "the study is already running", renew):
        pytest.fail("two hold it")


@pytest.mark.slow
def test_the_lease_of_a_killed_process_of_this_machine_is_over_at_once(bucket: str) -> None:
    store, told = ObjectStore(bucket), []
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left_by(store, machine_name(), time.time() + 60, ended.pid)
    with hold(store, told):
        assert told == []


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN], ids=["in-the-foreground", "in-the-background"])
def job(request: pytest.FixtureRequest) -> Iterator[None]:
    """How a shell starts a job: in the background, it has interrupts ignored."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    assert signal.signal(signal.SIGINT, before) == request.param


@pytest.mark.slow
@pytest.mark.usefixtures("job")
def test_who_has_lost_the_lease_stops(bucket: str) -> None:
    store = ObjectStore(bucket)

    def work() -> None:
        with hold(store):
            for _ in range(100):
                left_by(store, "elsewhere", time.time() + 60)  # again, for a renewal under way may overwrite it
                time.sleep(0.3)
            pytest.fail("it went on")

    with pytest.raises(UserError, match="taken over"):
        work()
    found = store.read(NAME)
    assert found is not None
    assert b"elsewhere" in found  # and leaves it to the other
