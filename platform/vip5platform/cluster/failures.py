"""Why a trial failed: unwraps the errors that Ray nests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray.cloudpickle
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from vip5core.config import P5Config, as_text
from vip5core.errors import DivergedError, Failure, UserError

#: Settings that lower the memory of a P5 stage.
_MEMORY_SETTINGS = ("batch_size", "max_history", "max_samples")

#: How a process ends that raised nothing itself.
_GONE = ("process_died", "out_of_memory")

#: A limit on nesting, deeper than Ray's, in case the chain of causes is circular.
_DEPTH = 10


def failure_of(error: BaseException | None) -> Failure:
    """The failure behind an error that Ray raised in the driver."""
    for _ in range(_DEPTH):
        inner = _cause_of(error) if error is not None else None
        if inner is None:
            break
        error = inner
    if isinstance(error, OutOfMemoryError):
        return Failure(
            kind="out_of_memory",
            message="its process was killed because its node ran out of memory: run fewer trials at once, or use nodes "
            "with more memory",
        )
    if isinstance(error, RayActorError | NodeDiedError | WorkerCrashedError):
        return Failure(kind="process_died", message="its process died: killed, or out of memory")
    return Failure.of(error)


def failure_of_stage(error: BaseException | None, config: P5Config) -> Failure:
    """The failure of a P5 stage, and what to change of its settings where that helps."""
    failure = failure_of(error)
    if failure.kind in _GONE:
        now = ", ".join(f"{name}={as_text(getattr(config, name))}" for name in _MEMORY_SETTINGS)
        reason = "it ran out of memory" if failure.kind == "out_of_memory" else failure.message
        advice = f"lower batch_size, max_history or max_samples by --p5-set (they were {now})"
        return Failure(kind=failure.kind, message=f"{reason}: {advice}")
    if failure.kind == "diverged":
        rate = as_text(config.learning_rate)
        # The error says "try a lower learning_rate" itself; the stage has an option of its own for it.
        said = failure.message.removesuffix(": try a lower learning_rate")
        return Failure(kind=failure.kind, message=f"{said}: try a lower one by --p5-set learning_rate= (it was {rate})")
    return failure


def _cause_of(error: BaseException) -> BaseException | None:
    """The cause of an error, under whatever name Ray's class stores it."""
    if isinstance(error, RayTaskError):  # which may also be of its cause's type
        cause: BaseException | None = error.cause
        return cause
    if isinstance(error, UserError | DivergedError):  # these say what happened; their cause says less
        return None
    workers = getattr(error, "worker_failures", None)  # of a worker group
    if workers:
        # Where one is gone, the others fail because of it; otherwise the first failure counts.
        failures: list[BaseException] = list(workers.values())
        return next((failure for failure in failures if failure_of(failure).kind in _GONE), failures[0])
    inner: list[BaseException | None] = [
        getattr(error, name, None) for name in ("controller_failure", "health_check_failure")
    ]
    return next((found for found in inner if found is not None), error.__cause__)


def failure_of_trial(trial: Any) -> Failure:
    """Why a Tune trial failed. The error file may be missing, because Tune reports the failure before copying it."""
    path = trial.pickled_error_file
    if path is None or not Path(path).is_file():
        return failure_of(None)
    with Path(path).open("rb") as file:
        return failure_of(ray.cloudpickle.load(file))
