"""Pretrains built-in backbones in the P5 stage: in this process, or as Ray tasks beside other work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from vip5core.backbones import find_backbone
from vip5core.config import P5Config
from vip5core.data.dataset import Dataset, open_dataset
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.progress import Progress, no_progress
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.p5_stage import make_p5_backbone
from vip5core.vocabulary import BUILT_IN
from vip5platform.cluster.failures import failure_of

#: Seconds after which a wait for news looks whether it was stopped.
_POLL_S = 0.2


class Pretraining:
    """P5 stages in training, each a Ray task with one CPU, and a GPU where the cluster has GPUs.

    A task streams the metrics of each epoch. If its process dies, Ray starts it again.

    Args:
        stages: The stages to train, each with a folder of its own.
        gpus: The GPUs that each may use.
    """

    def __init__(self, stages: Sequence[P5Stage], gpus: float) -> None:
        # On a GPU the process ends with its task, for it would keep memory there; on a CPU the next task starts sooner.
        train = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=1 if gpus else 0, num_returns="streaming")(_train)
        self._streams: dict[Any, P5Stage] = {
            train.remote(str(stage.dataset.folder), stage.config, stage.folder, gpus > 0): stage for stage in stages
        }
        self._stopped = threading.Event()

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
                    pass
                except RayError as error:
                    failures[stage.folder] = failure_of(error)
                del self._streams[stream]
        return failures

    def stop(self) -> None:
        """End the wait; the tasks end with their Ray session."""
        self._stopped.set()


def _report(stage: P5Stage, metrics: dict[str, float], progress: Progress) -> None:
    epoch = int(metrics["epoch"])
    progress(epoch, stage.config.epochs, f"valid/loss {metrics['valid/loss']:.3f}" if epoch else "starting …")


def backbone_folder(
    name: str, dataset: Dataset, home: Home, p5_epochs: int | None = None, progress: Progress = no_progress
) -> Path:
    """Find or download a backbone, or pretrain a built-in one in this process.

    Args:
        name: A name on the hub, a folder, or a name in `BUILT_IN`.
        dataset: The dataset whose prompts a built-in backbone is pretrained on.
        home: The home whose `backbones/` they are kept in.
        p5_epochs: The epochs of that P5 stage; by default those of its preset.
        progress: Called after each epoch of that stage with (done, total, news).

    Returns:
        The folder of the backbone.

    Raises:
        UserError: If there is no such backbone.
    """
    if name not in BUILT_IN:
        return find_backbone(name, home)
    stage = P5Stage.of(name, dataset, home, p5_epochs)
    if not stage.folder.is_dir():
        for metrics in _train(str(dataset.folder), stage.config, stage.folder, torch.cuda.is_available()):
            _report(stage, metrics, progress)
    return stage.folder


def _train(dataset: str, config: P5Config, folder: Path, on_gpu: bool) -> Iterator[dict[str, float]]:
    """Train a backbone; yields when it starts, and then the metrics of each epoch."""
    yield {"epoch": 0.0}
    told: queue.SimpleQueue[dict[str, float] | None] = queue.SimpleQueue()

    def train() -> None:
        try:
            # One thread: the same bytes wherever it runs, and for matrices this small a second thread gains little and
            # costs much on busy cores.
            torch.set_num_threads(1)
            make_p5_backbone(open_dataset(dataset), config, folder, told.put, torch.device("cuda" if on_gpu else "cpu"))
        finally:
            told.put(None)

    with ThreadPoolExecutor(1, thread_name_prefix="p5-stage") as thread:
        training = thread.submit(train)
        while (metrics := told.get()) is not None:  # Ray drives generators by `send`, which `yield from` would pass on
            yield metrics
        training.result()
