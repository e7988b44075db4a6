"""Tells how long trials have been waiting for room on the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from vip5platform.cluster.resources import TrialResources

#: Seconds after which a wait is told: a process that has room starts within these.
_USUAL_S = 20


class Waiting:
    """Watches Tune's trials for a time in which none of them runs.

    Args:
        resources: The resources of each trial.
        at_once: How many trials may run at the same time.
        tell: Called with what they wait for, and the seconds that have passed.
    """

    def __init__(self, resources: TrialResources, at_once: int, tell: Callable[[str, float], None]) -> None:
        self.resources, self.at_once, self.tell = resources, at_once, tell
        self._since: float | None = None

    def look(self, trials: Sequence[Any]) -> None:
        """Look at the trials as they are now."""
        pending = sum(trial.status == "PENDING" for trial in trials)
        if not pending or any(trial.status == "RUNNING" for trial in trials):
            self._since = None
            return
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since >= _USUAL_S:
            self.tell(self._wanted(min(pending, self.at_once)), now - self._since)

    def _wanted(self, trials: int) -> str:
        one = self.resources
        amount, what = (one.gpus, "GPU") if one.gpus else (one.cpus, "CPU")
        total = trials * one.workers * amount
        return f"{total:g} {what}{'s' if total > 1 else ''}"
