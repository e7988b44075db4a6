"""Why a trial failed: Ray wraps errors in errors, and the innermost says what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray.cloudpickle
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from vip5core.errors import Failure

#: Ray does not nest errors deeper than this; a chain that bites its own tail ends here.
_DEPTH = 10


def failure_of(error: BaseException | None) -> Failure:
    """The failure that an error stands for, as Ray handed it to the driver."""
    for _ in range(_DEPTH):
        inner = _cause_of(error) if error is not None else None
        if inner is None:
            break
        error = inner
    if isinstance(error, OutOfMemoryError):
        return Failure(
            kind="out_of_memory",
            message="its process was ended because its node ran out of memory: run fewer trials at once, or give the "
            "node more",
        )
    if isinstance(error, RayActorError):
        return Failure(kind="process_died", message="its process died: killed, or out of memory")
    return Failure.of(error)


def _cause_of(error: BaseException) -> BaseException | None:
    """What an error was raised for, by whatever name Ray's class keeps it."""
    if isinstance(error, RayTaskError):
        cause: BaseException | None = error.cause
        return cause
    workers = getattr(error, "worker_failures", None)  # of a worker group: the first that failed
    if workers:
        first: BaseException = next(iter(workers.values()))
        return first
    controller: BaseException | None = getattr(error, "controller_failure", None)
    return controller or error.__cause__


def failure_of_trial(trial: Any) -> Failure:
    """Why one of Tune's trials failed. Tune tells of it before it copies the error to where `trial` looks for it."""
    path = trial.pickled_error_file
    if path is None or not Path(path).is_file():
        return failure_of(None)
    with Path(path).open("rb") as file:
        return failure_of(ray.cloudpickle.load(file))
