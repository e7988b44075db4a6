"""Events are worked off in their order beside the program, which learns of what they raise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from vip5platform.study.event_queue import EventQueue


def test_events_are_worked_off_in_order_and_the_end_waits_for_them():
    done: list[int] = []
    gate = threading.Event()
    with EventQueue(lambda: False) as events:
        events.put(lambda: done.append(gate.wait(10)))
        for number in range(3):
            events.put(lambda number=number: done.append(number))
        assert done == []  # whoever puts does not wait
        gate.set()
    assert done == [True, 0, 1, 2]


def test_what_is_pointless_in_the_end_is_dropped():
    done: list[int] = []
    begun, gate = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        done.append(gate.wait(10))

    with EventQueue(lambda: True) as events:
        events.put(wait)
        events.put(lambda: done.append(2))
        assert begun.wait(10)
        threading.Timer(0.3, gate.set).start()  # after the end has begun
    assert done == [True]


def fail() -> None:
    raise ValueError("no")


def test_what_an_event_raises_is_raised_by_the_next_and_in_the_end():
    with pytest.raises(ValueError, match="no"), EventQueue(lambda: False) as events:
        events.put(fail)
    events = EventQueue(lambda: False)
    with pytest.raises(ValueError, match="no"), events:
        put_until_it_is_told(events)
    assert not events._thread.is_alive()


def put_until_it_is_told(events: EventQueue) -> None:
    events.put(fail)
    for _ in range(100):
        events.put(lambda: None)
        time.sleep(0.1)


def test_an_error_of_the_program_is_not_held_up(monkeypatch):
    monkeypatch.setattr("vip5platform.study.event_queue._GRACE_S", 0.1)
    done: list[int] = []
    gate, interrupted = threading.Event(), EventQueue(lambda: False)
    with pytest.raises(KeyboardInterrupt), interrupted:
        interrupt(interrupted, gate.wait, lambda: done.append(1))
    gate.set()
    interrupted._thread.join(10)
    assert done == []


def interrupt(events: EventQueue, *put: Callable[[], object]) -> None:
    for event in put:
        events.put(event)
    raise KeyboardInterrupt
