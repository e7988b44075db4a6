"""A lease: an object that says which process may write what nodes of a store have no lock for.

Its holder renews it. One that is killed leaves a lease that runs out, and the next process goes on from there. The
clocks of two machines are never compared: a lease has run out for who has watched it that long without a renewal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from types import FrameType

from pydantic import BaseModel, ConfigDict

from vip5core.errors import UserError
from vip5core.object_store import ObjectStore
from vip5core.storage import machine_name, process_alive

#: Seconds after which a lease that is not renewed has run out; it is renewed three times as often.
_LEASE_S = 60.0
#: Seconds between a first write and the look whether another process wrote at the same moment.
_SETTLE_S = 1.0


class Lease(BaseModel):
    """What the object holds.

    Attributes:
        holder: Identifies the holder.
        machine: Where it runs.
        process: Its id there.
        until: When it runs out by the holder's clock, in seconds since the epoch; each renewal changes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    holder: str
    machine: str
    process: int
    until: float

    @property
    def is_abandoned(self) -> bool:
        """Has its process, on this machine, ended?"""
        return self.machine == machine_name() and not process_alive(self.process)


@contextlib.contextmanager
def hold_lease(store: ObjectStore, name: str, refusal: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lease `name` of a store during the block, which another process may take over only if this one fails.

    Args:
        store: The store.
        name: The name of the object.
        refusal: The start of the message if another process holds it; the name of its machine follows.
        tell: Told if this has to wait until the lease of a process that may be gone runs out.

    Raises:
        UserError: if another process holds it, or took it over because this one could not renew it.
    """
    _wait_until_free(store, name, refusal, tell)
    mine = Lease(holder=uuid.uuid4().hex, machine=machine_name(), process=os.getpid(), until=0.0)
    _write(store, name, mine)
    time.sleep(min(_SETTLE_S, _LEASE_S / 3))
    found = _read(store, name)
    if found is not None and found.holder != mine.holder:
        raise UserError(f"{refusal} (on {found.machine})")
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(_LEASE_S / 3):
            with contextlib.suppress(Exception):  # the store is away: nobody else can take the lease either
                found = _read(store, name)
                if found is not None and found.holder != mine.holder:
                    lost.set()
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # which ends a wait, too
                    return
                _write(store, name, mine)

    renewal = threading.Thread(target=renew, name="lease", daemon=True)
    renewal.start()
    try:
        with _interruptible(lost):
            yield
    except KeyboardInterrupt:
        if not lost.is_set():
            raise
    finally:
        ended.set()
        renewal.join(_LEASE_S / 3)
        if not lost.is_set():
            store.remove(name)
    if lost.is_set():  # by that interrupt, or at the end, if something in the block has swallowed it
        raise UserError(f"{refusal}: it was taken over while this process could not renew its lease")


@contextlib.contextmanager
def _interruptible(lost: threading.Event) -> Iterator[None]:
    """Let the interrupt of a lost lease end the block where interrupts are ignored: a shell's job in the background."""
    in_main = threading.current_thread() is threading.main_thread()  # which alone may choose how signals are handled
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN or not in_main:
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if lost.is_set():
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _wait_until_free(store: ObjectStore, name: str, refusal: str, tell: Callable[[str], None]) -> None:
    """Wait until the lease has run out.

    Raises:
        UserError: as soon as it is renewed.
    """
    first = found = _read(store, name)
    over = time.monotonic() + _LEASE_S
    if found is not None and not found.is_abandoned:
        tell(f"waiting up to {_LEASE_S:.0f} s for the lease of {found.machine}, which may have been stopped")
    while found is not None and not found.is_abandoned:
        if found != first:
            raise UserError(f"{refusal} (on {found.machine})")
        if time.monotonic() >= over:
            return
        time.sleep(_LEASE_S / 60)
        found = _read(store, name)


def _read(store: ObjectStore, name: str) -> Lease | None:
    data = store.read(name)
    return None if data is None else Lease.model_validate_json(data)


def _write(store: ObjectStore, name: str, lease: Lease) -> None:
    store.write(name, lease.model_copy(update={"until": time.time() + _LEASE_S}).model_dump_json().encode())
