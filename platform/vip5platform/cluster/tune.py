"""Ray Tune runs the trials: as many at a time as there is room for, each outcome told as it comes."""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import ray.cloudpickle
from ray import tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from vip5platform.cluster.ray_cluster import process_folder, quiet_ray
from vip5platform.cluster.resources import ClusterResources
from vip5platform.cluster.trainable import TRIAL, parameters_of, spec_of, trainable

from vip5core.errors import UserError
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec

#: Seconds for the folder of a trial that has ended to appear.
_PATIENCE = 20


class Observer(Protocol):
    """Who wants to know how trials go. Called in the driver's process only."""

    def started(self, spec: TrialSpec) -> None: ...

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None: ...

    def finished(self, spec: TrialSpec, result: TrialResult) -> None: ...

    def failed(self, spec: TrialSpec, reason: str) -> None: ...

    def pruned(self, spec: TrialSpec) -> None: ...


@dataclass(frozen=True)
class TrialResources:
    """What one trial gets of the cluster.

    Attributes:
        workers: processes.
        cpus: of each worker.
        gpus: of each worker; a fraction lets workers share a GPU.
    """

    workers: int
    cpus: float
    gpus: float

    @classmethod
    def of(cls, resources: Resources, trials: int, workers: int = 1, gpus: float | None = None) -> TrialResources:
        """An even share of the CPUs on a GPU, as far as one node has them; without GPUs one CPU each.

        A trial that computes on CPUs computes with one thread: sums by several come out differently, and a trial must
        end with the same numbers however many run beside it.

        Args:
            resources: of the cluster, with the nodes to come.
            trials: to run.
            workers: of each trial.
            gpus: of each worker; if None, one where there are GPUs.

        Raises:
            UserError: for numbers that cannot be, or if one trial needs more GPUs than there are and will be.
        """
        if workers < 1:
            raise UserError(f"--workers-per-trial {workers}: must be at least 1")
        if gpus is not None and not 0 <= gpus < math.inf:
            raise UserError(f"--gpus-per-trial {gpus}: must be a number that is not negative")
        gpus = gpus if gpus is not None else (1.0 if resources.gpus else 0.0)
        if gpus * workers > resources.gpus:
            raise UserError(f"--gpus-per-trial {gpus:g}, workers {workers}: there are {resources.gpus:g} GPUs here")
        if workers > resources.cpus:
            raise UserError(f"--workers-per-trial {workers}: each needs a CPU, and there are {resources.cpus:g} here")
        if not gpus:
            return cls(workers, 1, 0.0)
        at_once = max(1, min(trials, int(resources.gpus / gpus / workers)))
        return cls(workers, max(1, int(min(resources.cpus / at_once / workers, resources.cpus_per_gpu * gpus))), gpus)

    def at_once(self, resources: Resources) -> int:
        """How many trials run side by side."""
        by_cpu = resources.cpus / (self.cpus * self.workers)
        by_gpu = resources.gpus / (self.gpus * self.workers) if self.gpus else by_cpu
        return max(1, int(min(by_cpu, by_gpu)))


def run_trials(specs: Sequence[TrialSpec], home: Path, share: TrialResources, at_once: int, observer: Observer) -> None:
    """Run each trial once; what is finished already is not Tune's business and must not be among them."""
    space = {TRIAL: tune.grid_search([parameters_of(spec) for spec in specs])}
    _tune(space, tune.TuneConfig(), home, share, at_once, observer)


def run_search(
    searcher: Searcher, scheduler: TrialScheduler, home: Path, share: TrialResources, at_once: int, observer: Observer
) -> None:
    """Run the trials that `searcher` proposes, until it proposes no more.

    Args:
        searcher: its `suggest` gives `{TRIAL: parameters_of(spec)}`, or Tune's `FINISHED`.
        scheduler: may end a trial early; such a trial is told to the observer as pruned.
    """
    tune_config = tune.TuneConfig(search_alg=searcher, scheduler=scheduler, num_samples=-1)
    _tune({}, tune_config, home, share, at_once, observer)


def _tune(
    space: dict[str, Any],
    tune_config: tune.TuneConfig,
    home: Path,
    share: TrialResources,
    at_once: int,
    observer: Observer,
) -> None:
    home.mkdir(parents=True, exist_ok=True)
    storage = process_folder(home, "tune-")  # of what our own folders hold, for Tune itself
    run = trainable(home, storage, share.workers, share.cpus, share.gpus)
    room: dict[str, float] = {"cpu": share.cpus, "gpu": share.gpus}
    if share.workers > 1:
        # A group's processes ask for their own room. Its driver in Tune only waits for them; were it to ask for a part
        # of a CPU, a group that needs all CPUs would never start. Ray wants it to ask for something: for the head node.
        room = {"node:__internal_head__": 0.001}
    tune_config.max_concurrent_trials = at_once
    tune_config.reuse_actors = share.workers == 1
    with quiet_ray(), _remembered_interrupt() as interrupted:
        tuner = tune.Tuner(
            tune.with_resources(run, room),
            param_space=space,
            tune_config=tune_config,
            run_config=tune.RunConfig(
                storage_path=str(storage),
                name="trials",
                callbacks=[_Callbacks(home, observer, interrupted)],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            shutil.rmtree(storage, ignore_errors=True)


@contextlib.contextmanager
def _remembered_interrupt() -> Iterator[Callable[[], bool]]:
    """Has Ctrl-C been pressed? A library that swallows the exception does not swallow the wish."""
    pressed: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():  # only there may signals be handled
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


class _Callbacks(tune.Callback):
    """Tune's events as an `Observer`'s."""

    def __init__(self, home: Path, observer: Observer, interrupted: Callable[[], bool]) -> None:
        self.home = home
        self.observer = observer
        self.interrupted = interrupted
        self.ended_early: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Tune copies its configuration into files; an observer's connections and bars cannot and need not be there."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.interrupted():
            raise KeyboardInterrupt

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.observer.started(spec_of(trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        metrics = {
            key: value for key, value in result.items() if key == "epoch" or key.startswith(("train/", "valid/"))
        }
        if metrics:
            self.observer.epoch(spec_of(trial.config), metrics)
            if result.get("done"):  # only a scheduler's decision marks a result with metrics so
                self.ended_early.add(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        spec = spec_of(trial.config)
        if trial.trial_id in self.ended_early:
            self.observer.pruned(spec)
        elif wait_for_result(spec, self.home):
            self.observer.finished(spec, TrialResult.load(spec.folder(self.home)))
        else:
            self.observer.failed(spec, "it ended without a result")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.observer.failed(spec_of(trial.config), failure_of_trial(trial))


def wait_for_result(spec: TrialSpec, home: Path) -> bool:
    """Is the folder of a trial that has ended there? A network file system may show it late."""
    for _ in range(_PATIENCE):
        list((home / "trials").iterdir())  # makes such a file system look again
        if spec.finished(home):
            return True
        time.sleep(1)
    return False


def failure_of_trial(trial: Any) -> str:
    """Why one of Tune's trials failed, in one line."""
    return failure_of(_error_of(trial))


def _error_of(trial: Any) -> BaseException | None:
    """What a trial raised. Tune tells this event before it copies the error to where `trial` looks for it."""
    path = trial.pickled_error_file
    if path is None or not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        error: BaseException = ray.cloudpickle.load(file)
    return error


def failure_of(error: BaseException | None) -> str:
    """Why a trial failed, in one line."""
    seen = 0
    while seen < 10 and error is not None:  # Ray wraps errors in errors; the innermost says what happened
        inner = error.cause if isinstance(error, RayTaskError) else (error.__cause__ or _of_a_worker(error))
        if inner is None:
            break
        error, seen = inner, seen + 1
    if error is None:
        return "unknown"
    if isinstance(error, RayActorError):
        return "its process died: killed, or out of memory"
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _of_a_worker(error: BaseException) -> BaseException | None:
    """The first error that a worker group reports."""
    failures = getattr(error, "worker_failures", None)
    return next(iter(failures.values())) if failures else None
