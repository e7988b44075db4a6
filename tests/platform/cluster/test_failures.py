"""Ray wraps errors in errors: what comes out is what happened, in one line and with its kind."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import ray.cloudpickle
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError
from vip5platform.cluster.failures import ActorLostError, failure_of, failure_of_stage, failure_of_trial

from vip5core.errors import DiskFullError, DivergedError, Failure, UserError
from vip5core.trial.p5_spec import p5_config

DIVERGED = DivergedError("the training loss is nan in epoch 1")
SAID = "DivergedError: the training loss is nan in epoch 1"


def task_error(cause: BaseException) -> RayTaskError:
    """As `ray.get` raises it: it is of the cause's type, too."""
    return RayTaskError("a_function", "Traceback (most recent call last): …", cause).as_instanceof_cause()


def group_error(*causes: Exception) -> WorkerGroupError:
    """Of a worker group; the first rank that failed is not always 0."""
    return WorkerGroupError("rank 1: …\nrank 2: …", dict(enumerate(causes, 1)))


def raised(error: Exception, cause: BaseException | None) -> Exception:
    """An error that was raised from another."""
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        DIVERGED,
        task_error(DIVERGED),
        task_error(task_error(DIVERGED)),
        group_error(DIVERGED, ValueError("a later one")),
        group_error(task_error(DIVERGED)),
        ControllerError(DIVERGED),
        ControllerError(group_error(DIVERGED)),
        ControllerError(task_error(group_error(task_error(DIVERGED)))),
        task_error(ControllerError(DIVERGED)),
        task_error(ControllerError(group_error(DIVERGED))),
        raised(RuntimeError("training failed"), DIVERGED),
        raised(RuntimeError("training failed"), task_error(ControllerError(DIVERGED))),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_reason_of_the_trial_itself_comes_out_of_every_wrapping(error):
    assert failure_of(error) == Failure(kind="diverged", message=SAID)
    if error.__cause__ is None:  # which pickle drops; Tune hands errors on as files
        assert failure_of(ray.cloudpickle.loads(ray.cloudpickle.dumps(error))).message == SAID


@pytest.mark.parametrize(
    ("error", "kind", "retryable", "message"),
    [
        (UserError("no T5 can be read from '/t5'"), "user_error", False, "no T5 can be read from '/t5'"),
        (DiskFullError("'/home' has no room for x"), "disk_full", True, "'/home' has no room for x"),
        (DivergedError("the loss is inf"), "diverged", False, "DivergedError: the loss is inf"),
        (MemoryError("no room for an array"), "out_of_memory", True, "MemoryError: no room for an array"),
        (OutOfMemoryError("Task was killed due to the node running low on memory.\n…"), "out_of_memory", True, None),
        (RayActorError(), "process_died", True, None),
        (ActorDiedError(), "process_died", True, None),
        (WorkerCrashedError(), "process_died", True, None),
        (NodeDiedError("node 7 is gone"), "node_lost", True, "its node was lost"),
        (ValueError("anything else"), "error", True, "ValueError: anything else"),
        (KeyError(), "error", True, "KeyError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_kind_says_whether_another_attempt_is_worthwhile(error, kind, retryable, message, wrapped):
    failure = failure_of(ControllerError(group_error(error)) if wrapped else error)
    assert (failure.kind, failure.retryable) == (kind, retryable)
    assert failure.message == message if message is not None else failure.message
    assert "\n" not in failure.message


#: What Ray says, shortened where it goes on.
FULL = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.7, ID: d539126523) "
    "was 6.92GB used / 23.54GB limit (0.294170)\nOOM kill reason: Memory usage 7356145664B exceeded threshold"
)
IN_USE = "6.92GB of 23.54GB in use"
ACTOR = "The actor died unexpectedly before finishing this task.\n\tclass_name: ImplicitFunc\n\tip: 10.0.0.7\n"
NODE = (
    f"{ACTOR}The actor died because its node has died. Node Id: 59732f6cf3\n\tthe actor's node was terminated "
    "unexpectedly: health check failed due to missing too many heartbeats"
)
PROCESS = (
    f"{ACTOR}The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
)
UNAVAILABLE = ActorUnavailableError("The actor is temporarily unavailable: RpcError: Socket closed", None)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            OutOfMemoryError(FULL),
            "out_of_memory",
            f"its process was killed because node 10.0.0.7 ran out of memory ({IN_USE}): run fewer trials at once, or "
            "use nodes with more memory",
        ),
        (
            RayActorError(error_msg=NODE),
            "node_lost",
            "node 10.0.0.7 was lost (terminated unexpectedly: health check failed due to missing too many heartbeats)",
        ),
        (
            RayActorError(error_msg=f"{PROCESS}Worker exits with an exit code 1. The process receives a SIGTERM."),
            "process_died",
            "its process on node 10.0.0.7 died: killed, or out of memory (Ray says: Worker exits with an exit code 1. "
            "The process receives a SIGTERM)",
        ),
        (
            RayActorError(error_msg=f"{PROCESS}End of file. Some common causes include: (1) the process was killed"),
            "process_died",
            "its process on node 10.0.0.7 died: killed, or out of memory (Ray says: End of file)",
        ),
        (
            UNAVAILABLE,
            "process_died",
            "the connection to its process broke: it was killed, or the node was lost (Ray says: The actor is "
            "temporarily unavailable: RpcError: Socket closed)",
        ),
        (
            RayActorError(error_msg=f"{ACTOR}ray::Actor.__init__()\nImportError: no torch", actor_init_failed=True),
            "error",
            "its process did not start: ImportError: no torch",
        ),
        (LocalRayletDiedError(), "node_lost", "its node was lost"),
        (RaySystemError("the pipe is broken"), "process_died", "its process died: killed, or out of memory"),
    ],
)
def test_a_process_that_is_gone_is_told_with_its_node_and_what_ray_says_of_it(error, kind, message):
    assert failure_of(error) == Failure(kind=kind, message=message)
    # As Tune gets it from the loop of `controller`, by a file.
    told = ray.cloudpickle.loads(ray.cloudpickle.dumps(ActorLostError(error)))
    assert failure_of(told) == failure_of(error)


def test_where_a_worker_of_a_group_is_gone_the_others_fail_because_of_it():
    dead = WorkerHealthCheckFailedError("A worker health check failed.", ActorDiedError())
    lost = RuntimeError("Connection closed by peer")
    for failures in ((lost, dead), (dead, lost)):
        assert failure_of(task_error(group_error(*failures))).kind == "process_died"
    assert failure_of(group_error(lost, DIVERGED)).message == "RuntimeError: Connection closed by peer"


def test_a_p5_stage_says_which_of_its_settings_to_change():
    config = p5_config(learning_rate=0.5, batch_size=7)
    assert failure_of_stage(task_error(DIVERGED), config).message == (
        f"{SAID}: try a lower one by --p5-set learning_rate= (it was 0.5)"
    )
    advice = "lower batch_size, max_history or max_samples by --p5-set (they were batch_size=7, "
    failure = failure_of_stage(task_error(MemoryError()), config)
    assert failure.kind == "out_of_memory"
    assert failure.message.startswith(f"it ran out of memory: {advice}")
    killed = failure_of_stage(OutOfMemoryError(FULL), config)
    assert killed.message.startswith(
        f"its process was killed because node 10.0.0.7 ran out of memory ({IN_USE}): {advice}"
    )
    assert failure_of_stage(NodeDiedError("gone"), config) == failure_of(NodeDiedError("gone"))  # no setting helps
    died = failure_of_stage(WorkerCrashedError(), config)
    assert died.kind == "process_died"
    assert died.message.startswith(f"its process died: killed, or out of memory: {advice}")
    assert failure_of_stage(UserError("no T5"), config) == failure_of(UserError("no T5"))


def test_an_error_of_ours_is_not_traded_for_what_it_came_from():
    full = raised(DiskFullError("'/home' has no room left"), OSError(28, "No space left on device"))
    assert failure_of(task_error(full)) == Failure(kind="disk_full", message="'/home' has no room left")


def test_a_message_of_many_lines_is_told_by_its_first():
    assert failure_of(ValueError("\n  the shapes differ:\n[1, 2]\n[3]")).message == "ValueError: the shapes differ:"
    assert failure_of(ValueError("\n \n")).message == "ValueError"


def test_errors_that_are_each_others_cause_come_to_an_end():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert failure_of(first).message in ("ValueError: first", "ValueError: second")


def test_without_an_error_there_is_a_failure_all_the_same():
    assert failure_of(None) == Failure.of(None)
    assert failure_of(None).retryable


def test_a_trial_of_tune_is_known_by_the_file_that_holds_its_error(tmp_path):
    file = tmp_path / "error.pkl"
    assert failure_of_trial(SimpleNamespace(pickled_error_file=None)) == failure_of(None)
    assert failure_of_trial(SimpleNamespace(pickled_error_file=str(file))) == failure_of(None)
    file.write_bytes(ray.cloudpickle.dumps(task_error(DIVERGED)))
    assert (
        failure_of_trial(
            SimpleNamespace(
                pickled_error_file=str(file), run_metadata=SimpleNamespace(last_result={"node_ip": "10.0.0.7"})
            )
        ).message
        == SAID
    )


def test_a_failure_comes_back_from_json_as_it_was():
    failure = failure_of(RayActorError())
    assert Failure.model_validate_json(failure.model_dump_json()) == failure


def test_a_loss_that_names_no_node_is_told_with_the_one_that_the_process_was_on():
    assert failure_of(UNAVAILABLE, "10.0.0.7").message.startswith(
        "the connection to its process on node 10.0.0.7 broke: "
    )
    assert failure_of(UNAVAILABLE).message.startswith("the connection to its process broke: ")


GLOO = RuntimeError(
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error [10.0.0.7]:22917: Connection reset by peer. "
    "This is typically caused by a remote worker hanging or bugs in the application."
)
NCCL = RuntimeError("NCCL error in: ProcessGroupNCCL.cpp:1, ncclRemoteError: A call failed possibly due to …")


@pytest.mark.parametrize(("error", "said"), [(GLOO, "gloo: Connection reset by peer"), (NCCL, "NCCL: ncclRemoteError")])
def test_a_worker_that_misses_another_is_no_failure_of_its_own(error, said):
    assert failure_of(ControllerError(group_error(error))) == Failure(
        kind="process_died", message=f"another process of its worker group, or the node of that, is gone ({said})"
    )
    assert failure_of(group_error(error, NodeDiedError("node 7 is gone"))).kind == "node_lost"
    assert failure_of(group_error(error, task_error(DIVERGED))).message == SAID
    assert failure_of(RuntimeError("Connection reset by peer")).kind == "error"
