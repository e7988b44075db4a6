"""Trains backbones in P5 stages: in this process, or on the cluster beside other work."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from ray.train import RunConfig, ScalingConfig
from ray.util.queue import Queue

from vip5core.backbones import backbone_fingerprint, find_backbone, trained_t5
from vip5core.config import P5Config
from vip5core.data.dataset import Dataset, open_dataset
from vip5core.distributed import WorkerGroup
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.progress import Progress, no_progress
from vip5core.training.loop import Report
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.p5_stage import make_p5_backbone
from vip5platform.cluster.arithmetic import check_precision
from vip5platform.cluster.failures import LOST, RESTARTS, failure_of, failure_of_stage
from vip5platform.cluster.placement import Placement
from vip5platform.cluster.ray_cluster import make_process_folder
from vip5platform.cluster.resources import TrialResources
from vip5platform.cluster.trainable import group_scaling, run_group

#: Seconds after which a wait for news looks whether it was stopped.
_POLL_S = 0.2
_STREAMING: dict[str, Any] = {"num_returns": "streaming", "max_retries": RESTARTS}

Metrics = dict[str, float]


class Pretraining:
    """P5 stages in training, each with the resources of a trial.

    A stage of one worker is a Ray task with one CPU, and a GPU where trials have one; of several workers, a worker
    group of Ray Train as trials have. Both stream the metrics of each epoch. If a process dies, it is started again and
    continues after the last complete epoch.

    Args:
        stages: The stages to train, each with a folder of its own.
        resources: The workers of each, and their share of a GPU.
        home: The home that Train's own records are written to meanwhile.
    """

    def __init__(self, stages: Sequence[P5Stage], resources: TrialResources, home: Home) -> None:
        self._storage = None
        self._streams: dict[Any, P5Stage] = {}
        if resources.workers == 1:
            on_gpu = resources.gpus > 0
            # On a GPU the process ends with its task, for it would keep memory there; on a CPU the next task starts
            # sooner.
            needs: dict[str, Any] = {"num_cpus": 1, "num_gpus": resources.gpus, "max_calls": 1 if on_gpu else 0}
            train = ray.remote(**needs, **_STREAMING)(_train)
            self._streams = {train.remote(_Job.of(stage, home), on_gpu): stage for stage in stages}
        else:
            home.root.mkdir(parents=True, exist_ok=True)
            self._storage = make_process_folder(home.scratch, "tune-")
            scaling = group_scaling(resources.workers, resources.cpus, resources.gpus)
            in_group = ray.remote(**Placement.on_cluster().of_task, **_STREAMING)(_train_in_group)
            self._streams = {in_group.remote(_Job.of(stage, home), scaling, self._storage): stage for stage in stages}
        self._stopped = threading.Event()
        self._home = home

    def wait(self, progress_of: Callable[[P5Stage], Progress]) -> dict[Path, Failure]:
        """Wait until all stages have ended, or `stop` is called from another thread.

        Args:
            progress_of: Gives the function that reports the progress of a stage.

        Returns:
            The failure of each stage that failed, by its folder.
        """
        shown = {stage.folder: progress_of(stage) for stage in self._streams.values()}
        for stage in self._streams.values():
            shown[stage.folder](0, stage.config.epochs)
        failures: dict[Path, Failure] = {}
        while self._streams and not self._stopped.is_set():
            ready: list[Any] = ray.wait(list(self._streams), timeout=_POLL_S)[0]
            for stream in ready:
                stage = self._streams[stream]
                try:
                    _report(stage, ray.get(next(stream)), shown[stage.folder])
                    continue
                except StopIteration:
                    self._home.fetch(stage.folder)
                except RayError as error:
                    failures[stage.folder] = failure_of_stage(error, stage.config)
                del self._streams[stream]
        if self._storage is not None:
            shutil.rmtree(self._storage, ignore_errors=True)
        return failures

    def stop(self) -> None:
        """End the wait; the tasks end with their Ray session."""
        self._stopped.set()


def _report(stage: P5Stage, metrics: Metrics, progress: Progress) -> None:
    epoch, chosen_by = int(metrics["epoch"]), stage.config.select_by
    progress(epoch, stage.config.epochs, f"{chosen_by} {metrics[chosen_by]:.3f}" if epoch else "starting …")


def backbone_folder(
    name: str,
    dataset: Dataset,
    home: Home,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Find or download a backbone, or train it in a P5 stage in this process.

    Args:
        name: A name on the hub or a folder, maybe with `p5:` before it, or a name in `BUILT_IN`.
        dataset: The dataset whose prompts a P5 stage trains on.
        home: The home whose `backbones/` they are kept in.
        settings: The settings in which that P5 stage differs from its preset.
        progress: Called after each epoch of that stage with (done, total, news).

    Returns:
        The folder of the backbone.

    Raises:
        UserError: If there is no such backbone.
    """
    if trained_t5(name) is None:
        return find_backbone(name, home)
    stage = P5Stage.of(name, dataset, home, settings or {})
    if not home.fetch(stage.folder).is_dir():
        for metrics in _train(_Job.of(stage, home), torch.cuda.is_available()):
            _report(stage, metrics, progress)
    return stage.folder


@dataclass(frozen=True)
class _Job:
    """A stage as another process can do it, which opens the dataset itself; folders as every node knows them."""

    home: Home
    dataset: str
    config: P5Config
    folder: str
    start: str | None
    checkpoint: str

    @classmethod
    def of(cls, stage: P5Stage, home: Home) -> _Job:
        start = None
        if stage.start is not None:
            start = home.name(home.adopt(stage.start, home.backbones, backbone_fingerprint(stage.start)))
        dataset, folder, checkpoint = map(home.name, (stage.dataset.folder, stage.folder, stage.checkpoint))
        return cls(home, dataset, stage.config, folder, start, checkpoint)

    def run(self, report: Report, device: torch.device, group: WorkerGroup | None = None) -> None:
        home, group = self.home, group or WorkerGroup()
        there = self._here(self.folder).is_dir()
        folder = make_p5_backbone(
            open_dataset(self._here(self.dataset)),
            self.config,
            home.path(self.folder),
            report,
            device,
            start=self._here(self.start) if self.start is not None else None,
            group=group,
            checkpoint=self._here(self.checkpoint),
            saved=home.publish,
        )
        if group.rank == 0 and not there:
            home.publish(folder)
            home.discard(home.path(self.checkpoint))

    def _here(self, name: str) -> Path:
        return self.home.fetch(self.home.path(name))


def _train(job: _Job, on_gpu: bool) -> Iterator[Metrics]:
    """Train a backbone in this process; yields when it starts, and then the metrics of each epoch."""
    told: queue.SimpleQueue[Metrics | None] = queue.SimpleQueue()

    def work() -> None:
        # One thread: the same bytes wherever it runs, and for matrices this small a second thread gains little and
        # costs much on busy cores.
        torch.set_num_threads(1)
        check_precision(job.config.precision, on_gpu)
        job.run(told.put, torch.device("cuda" if on_gpu else "cpu"))

    yield from _beside(work, told)


def _train_in_group(job: _Job, scaling: ScalingConfig, storage: Path) -> Iterator[Metrics]:
    """Train a backbone in a group of processes; yields as `_train` does."""
    told: Any = Queue(actor_options={"num_cpus": 0})

    def in_process(group: WorkerGroup, device: torch.device) -> None:
        job.run(told.put if group.rank == 0 else lambda metrics: None, device, group)

    def work() -> None:
        run_config = RunConfig(name=f"train-{Path(job.folder).name}", storage_path=str(storage))
        for restart in range(RESTARTS + 1):
            try:
                return run_group(in_process, job.config.precision, scaling, run_config)
            except Exception as error:
                if restart == RESTARTS or failure_of(error).kind not in LOST:
                    raise

    yield from _beside(work, told)


def _beside(work: Callable[[], None], told: Any) -> Iterator[Metrics]:
    """Do `work` in a thread; yields when it starts, and each epoch that it tells, once although restarts repeat them.

    Args:
        work: Raises what went wrong.
        told: The queue into which `work` puts the metrics of each epoch.
    """

    def work_and_end() -> None:
        try:
            work()
        finally:
            told.put(None)

    yield {"epoch": 0.0}
    epoch = 0.0
    with ThreadPoolExecutor(1, thread_name_prefix="p5-stage") as thread:
        training = thread.submit(work_and_end)
        while (metrics := told.get()) is not None:
            if metrics["epoch"] > epoch:
                epoch = metrics["epoch"]
                yield metrics
        training.result()
