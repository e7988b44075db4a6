"""Runs trials with Ray Tune, as many at a time as resources allow, and reports each outcome to an observer."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Protocol

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec
from vip5platform.cluster.controller import surviving_losses
from vip5platform.cluster.failures import failure_of_trial
from vip5platform.cluster.placement import Placement
from vip5platform.cluster.ray_cluster import make_process_folder, quiet_ray
from vip5platform.cluster.resources import TrialResources
from vip5platform.cluster.trainable import TRIAL, parameters_of, spec_of, trainable
from vip5platform.cluster.waiting import Waiting

#: The failure of a trial that Tune calls complete but that has no result.
NO_RESULT = Failure(kind="no_result", message="it ended without a result")
#: Seconds to wait for the result of a completed trial to appear.
_RESULT_TIMEOUT_S = 20


class Observer(Protocol):
    """Receives the progress and outcome of trials, in the driver's process."""

    def waiting(self, wanted: str, seconds: float) -> None: ...

    def started(self, spec: TrialSpec) -> None: ...

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None: ...

    def retried(self, spec: TrialSpec, failure: Failure) -> None: ...

    def finished(self, spec: TrialSpec, result: TrialResult) -> None: ...

    def failed(self, spec: TrialSpec, failure: Failure) -> None: ...

    def pruned(self, spec: TrialSpec) -> None: ...


def run_trials(
    specs: Sequence[TrialSpec], home: Home, resources: TrialResources, at_once: int, observer: Observer
) -> None:
    """Run each of these trials, none of which may be finished already."""
    space = {TRIAL: tune.grid_search([parameters_of(spec, home) for spec in specs])}
    _tune(space, tune.TuneConfig(), home, resources, at_once, observer)


def run_search(
    searcher: Searcher,
    scheduler: TrialScheduler,
    home: Home,
    resources: TrialResources,
    at_once: int,
    observer: Observer,
) -> None:
    """Run the trials that a searcher proposes until it proposes no more.

    Args:
        searcher: Its `suggest` returns `{TRIAL: parameters_of(spec, home)}`, or Tune's `FINISHED`.
        scheduler: May stop a trial early, which the observer receives as pruned.
        home: The home whose `trials/` results are written to.
        resources: The resources of each trial.
        at_once: How many trials run at the same time.
        observer: Receives progress and outcomes.
    """
    tune_config = tune.TuneConfig(search_alg=searcher, scheduler=scheduler, num_samples=-1)
    _tune({}, tune_config, home, resources, at_once, observer)


def _tune(
    space: dict[str, Any],
    tune_config: tune.TuneConfig,
    home: Home,
    resources: TrialResources,
    at_once: int,
    observer: Observer,
) -> None:
    home.root.mkdir(parents=True, exist_ok=True)
    storage = make_process_folder(home.scratch, "tune-")  # Tune's own records, which are deleted
    run = trainable(home, storage, resources.workers, resources.cpus, resources.gpus)
    alone = resources.workers == 1  # the processes of a group request their own resources; Tune's actor waits for them
    request = {"cpu": resources.cpus, "gpu": resources.gpus} if alone else Placement.on_cluster().of_trial
    tune_config.max_concurrent_trials = at_once
    tune_config.reuse_actors = alone
    with quiet_ray(), surviving_losses(), _remember_interrupt() as interrupted:
        tuner = tune.Tuner(
            tune.with_resources(run, request),
            param_space=space,
            tune_config=tune_config,
            run_config=tune.RunConfig(
                storage_path=str(storage),
                name="trials",
                callbacks=[_Callbacks(home, observer, interrupted, Waiting(resources, at_once, observer.waiting))],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            shutil.rmtree(storage, ignore_errors=True)


@contextlib.contextmanager
def _remember_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C was pressed, even if a library swallowed the exception."""
    pressed: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():  # signals can be handled in the main thread only
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


class _Callbacks(tune.Callback):
    """Tune's events as an `Observer`'s."""

    def __init__(self, home: Home, observer: Observer, interrupted: Callable[[], bool], waiting: Waiting) -> None:
        self.home = home
        self.observer = observer
        self.interrupted = interrupted
        self.waiting = waiting
        self.stopped_early: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Empty, because Tune pickles its callbacks, and the connections of an observer cannot be pickled."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.interrupted():
            raise KeyboardInterrupt
        self.waiting.look(trials)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.observer.started(spec_of(trial.config, self.home))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        metrics = {
            key: value for key, value in result.items() if key == "epoch" or key.startswith(("train/", "valid/"))
        }
        if metrics:
            self.observer.epoch(spec_of(trial.config, self.home), metrics)
            if result.get("done"):  # only a scheduler's stop marks a result with metrics as done
                self.stopped_early.add(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.observer.retried(spec_of(trial.config, self.home), failure_of_trial(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        spec = spec_of(trial.config, self.home)
        if trial.trial_id in self.stopped_early:
            self.observer.pruned(spec)
        elif wait_for_result(spec, self.home):
            self.observer.finished(spec, TrialResult.load(spec.folder(self.home)))
        else:
            self.observer.failed(spec, NO_RESULT)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.observer.failed(spec_of(trial.config, self.home), failure_of_trial(trial))


def wait_for_result(spec: TrialSpec, home: Home) -> bool:
    """Wait for the result of a completed trial, which a network file system may show late; False if none appears."""
    for _ in range(_RESULT_TIMEOUT_S):
        list(home.trials.glob("*"))  # refreshes the cached listing of such a file system
        if spec.is_finished(home):
            return True
        time.sleep(1)
    return False
