"""Works off events in a thread of its own, so that whoever has them does not wait for a slow server."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

#: Seconds that the event under way gets to end when the rest is dropped because of an error.
_GRACE_S = 10


class EventQueue:
    """A context in which events are worked off in their order; its end waits for them.

    Args:
        pointless: Says whether the events that are left need not be worked off when the context ends.
    """

    def __init__(self, pointless: Callable[[], bool]) -> None:
        self.pointless = pointless
        self._events: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)
        self._ending = self._dropping = False
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending, self._dropping = True, error is not None
        self._events.put(None)
        try:
            self._thread.join(_GRACE_S if error is not None else None)
        except BaseException:  # Ctrl-C while it waits
            self._dropping = True
            self._thread.join(_GRACE_S)
            raise
        if error is None:
            self._raise()

    def put(self, event: Callable[[], object]) -> None:
        """Add an event.

        Raises:
            BaseException: What an earlier event raised.
        """
        self._raise()
        self._events.put(event)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (event := self._events.get()) is not None:
            if self._dropping or self._error is not None or (self._ending and self.pointless()):
                continue
            try:
                event()
            except BaseException as error:
                self._error = error
