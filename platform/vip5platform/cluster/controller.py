"""Tune's loop on machines that run out of memory or are taken away.

Tune's own ends the whole experiment if Ray kills a trial's process to save memory, and either retries all errors of a
trial or none. This one fails only the trial that was killed, and retries a trial whose process or node was lost, from
the checkpoint of its last complete epoch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.execution.tune_controller import TuneController

from vip5platform.cluster.failures import LOST, RESTARTS, ActorLostError, failure_of


class _ActorManager(RayActorManager):
    """Tells its trials of any end of an actor, where Ray's class raises what it does not know.

    Attributes:
        told: The last failure of a trial.
    """

    told: Exception | None = None

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, _as_known(exception))

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, _as_known(exception))


def _as_known(error: Exception) -> Exception:
    return error if isinstance(error, RayActorError | RayTaskError) else ActorLostError(error)


class _Controller(TuneController):
    _actor_manager: _ActorManager

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._actor_manager = _ActorManager(self._actor_manager._resource_manager)

    def _process_trial_failure(self, trial: Any, exception: Any) -> None:
        if exception is self._actor_manager.told:  # the end of a reused actor is told as that of its reset, too
            return
        self._actor_manager.told = exception
        trial.max_failures = RESTARTS if failure_of(exception).kind in LOST else 0
        self._resetting_trials.discard(trial)  # else a retry would wait for the actor that was lost
        super()._process_trial_failure(trial, exception)


@contextmanager
def surviving_losses() -> Iterator[None]:
    """Make `tune.Tuner.fit` use this loop in the block."""
    module: Any = importlib.import_module("ray.tune.tune")  # whose name in its package is a function's
    before = module.TuneController
    module.TuneController = _Controller
    try:
        yield
    finally:
        module.TuneController = before
