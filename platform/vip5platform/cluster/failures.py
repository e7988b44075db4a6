"""Why a trial failed: unwraps the errors that Ray nests, and names the node that a process was lost with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import ray.cloudpickle
from ray.exceptions import (
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)

from vip5core.config import P5Config, as_text
from vip5core.errors import DivergedError, Failure, FailureKind, UserError

#: Settings that lower the memory of a P5 stage.
_MEMORY_SETTINGS = ("batch_size", "max_history", "max_samples")

#: Failures that are not of the trial's own making: another process continues after the last complete epoch.
LOST: tuple[FailureKind, ...] = ("process_died", "node_lost")
#: How often a trial, task or worker group is then started again.
RESTARTS = 3
#: How a process ends that raised nothing itself.
_GONE = (*LOST, "out_of_memory")

#: What Ray raises where a process or a node is gone.
_LOSSES = (RayActorError, WorkerCrashedError, NodeDiedError, LocalRayletDiedError, ObjectLostError, RaySystemError)
#: How Ray names a node in the messages of its errors, and what it says of the end of a node or process.
_ADDRESS = re.compile(r"(?:\bip:|\(IP:|\baddress:) ?([0-9A-Za-z.:_-]*[0-9A-Za-z])")
_NODE_END = re.compile(r"node was (terminated .*|preempted.*)")
_PROCESS_END = re.compile(
    r"(?:Worker exit detail|is unavailable): (.*?)\.?(?= Some common causes| The task may|$)", re.MULTILINE
)
_MEMORY = re.compile(r"was (\S+) used / (\S+) limit")

#: How a process of a worker group fails if another is gone, by gloo and by NCCL.
_PEER_GONE = re.compile(r"(gloo).*(Connection (?:reset|closed|refused)[\w ]*)|(NCCL).*(ncclRemoteError)", re.DOTALL)

_LESS_MEMORY = ": run fewer trials at once, or use nodes with more memory"

_UNKNOWN_NODE = "its node"
#: Where Tune notes the address of the node that reported a result.
_NODE_IP = "node_ip"
#: A limit on nesting, deeper than Ray's, in case the chain of causes is circular.
_DEPTH = 10


class ActorLostError(RayActorError):
    """The loss of an actor that Ray tells by an error of another kind, such as `OutOfMemoryError`.

    Args:
        reason: Ray's error.
    """

    def __init__(self, reason: Exception) -> None:
        super().__init__(error_msg=str(reason))
        self.reason = reason


def failure_of(error: BaseException | None, node: str = "") -> Failure:
    """The failure behind an error that Ray raised in the driver.

    Args:
        error: The error.
        node: The address of the node that the process was last known on, in case the error names none.
    """
    error = _innermost(error)
    if isinstance(error, OutOfMemoryError):
        return _out_of_memory(str(error))
    if isinstance(error, _LOSSES):
        return _lost(error, node)
    peer = _peer_gone(error)
    if peer:
        message = f"another process of its worker group, or the node of that, is gone ({peer})"
        return Failure(kind="process_died", message=message)
    return Failure.of(error)


def _innermost(error: BaseException | None) -> BaseException | None:
    for _ in range(_DEPTH):
        inner = _cause_of(error) if error is not None else None
        if inner is None:
            break
        error = inner
    return error


def _peer_gone(error: BaseException | None) -> str:
    """What a process of a worker group says of the end of another; empty if it failed for another reason."""
    found = _PEER_GONE.search(str(error)) if isinstance(error, RuntimeError) else None
    return ": ".join(filter(None, found.groups())) if found else ""


def _out_of_memory(said: str) -> Failure:
    """The failure of a process that Ray killed to save its node."""
    memory = _MEMORY.search(said)
    use = f" ({memory[1]} of {memory[2]} in use)" if memory else ""
    message = f"its process was killed because {_node(said)} ran out of memory{use}{_LESS_MEMORY}"
    return Failure(kind="out_of_memory", message=message)


def _lost(error: RayError, node: str) -> Failure:
    """The failure of a process that ended without an error of its own."""
    said = str(error)
    known = _node(said, node)
    end = _NODE_END.search(said)
    if end is not None or "node has died" in said or isinstance(error, NodeDiedError | LocalRayletDiedError):
        reason = f" ({end[1]})" if end is not None else ""
        return Failure(kind="node_lost", message=f"{known} was lost{reason}")
    if isinstance(error, RayActorError) and error.actor_init_failed:
        return Failure(kind="error", message=f"its process did not start: {said.splitlines()[-1].strip()}")
    detail = _PROCESS_END.search(said)
    reason = f" (Ray says: {detail[1]})" if detail is not None else ""
    process = f"its process on {known}" if known != _UNKNOWN_NODE else "its process"
    if isinstance(error, ActorUnavailableError):  # before Ray itself knows whether the process or the node is gone
        message = f"the connection to {process} broke: it was killed, or the node was lost{reason}"
        return Failure(kind="process_died", message=message)
    return Failure(kind="process_died", message=f"{process} died: killed, or out of memory{reason}")


def _node(said: str, otherwise: str = "") -> str:
    found = _ADDRESS.search(said)
    address = found[1] if found else otherwise
    return f"node {address}" if address else _UNKNOWN_NODE


def failure_of_stage(error: BaseException | None, config: P5Config) -> Failure:
    """The failure of a P5 stage, and what to change of its settings where that helps."""
    failure = failure_of(error)
    if failure.kind in ("out_of_memory", "process_died"):
        now = ", ".join(f"{name}={as_text(getattr(config, name))}" for name in _MEMORY_SETTINGS)
        killed = failure.kind == "process_died" or failure.message.endswith(_LESS_MEMORY)
        reason = failure.message.removesuffix(_LESS_MEMORY) if killed else "it ran out of memory"
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
    if isinstance(error, ActorLostError):
        return error.reason
    workers = getattr(error, "worker_failures", None)  # of a worker group
    if workers:
        return min(workers.values(), key=_follows)
    inner: list[BaseException | None] = [
        getattr(error, name, None) for name in ("controller_failure", "health_check_failure")
    ]
    return next((found for found in inner if found is not None), error.__cause__)


def _follows(error: BaseException) -> int:
    """How far the failure of a group's worker is from the cause: where one is gone, the others fail because of it."""
    return 2 if _peer_gone(_innermost(error)) else int(failure_of(error).kind not in _GONE)


def failure_of_trial(trial: Any) -> Failure:
    """Why a Tune trial failed. The error file may be missing, because Tune reports the failure before copying it."""
    path = trial.pickled_error_file
    if path is None or not Path(path).is_file():
        return failure_of(None)
    with Path(path).open("rb") as file:
        return failure_of(ray.cloudpickle.load(file), trial.run_metadata.last_result.get(_NODE_IP, ""))
