"""The function that Ray Tune calls to run one trial with Ray Train.

With one worker or several, the same loop runs through `TorchTrainer`. One worker runs in the process of the Tune actor,
which is reused for the next trial and saves its start-up time; several workers are a group of processes that share each
batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray import tune
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from vip5core.config import TrialConfig
from vip5core.distributed import DistributedGroup, WorkerGroup
from vip5core.home import Home
from vip5core.trial.run import run_trial
from vip5core.trial.spec import TrialSpec
from vip5platform.cluster.arithmetic import check_precision
from vip5platform.cluster.reservations import free_reservation, note_reservation

#: The only parameter that Tune knows: a complete trial. Levels and searched settings are chosen before Tune sees it.
TRIAL = "trial"


def parameters_of(spec: TrialSpec, home: Home) -> dict[str, Any]:
    """A trial as plain values, the form in which Tune stores and prints it; folders as every node knows them."""
    return {
        "config": spec.config.model_dump(mode="json"),
        "dataset": home.name(spec.dataset),
        "backbone": home.name(spec.backbone),
        "features": home.name(spec.features) if spec.features is not None else None,
        "fingerprint": spec.fingerprint,
    }


def spec_of(parameters: dict[str, Any], home: Home) -> TrialSpec:
    """The trial that a point of Tune's parameter space represents, with its folders on this node."""
    trial = parameters[TRIAL]
    return TrialSpec(
        TrialConfig(**trial["config"]),
        home.path(trial["dataset"]),
        home.path(trial["backbone"]),
        home.path(trial["features"]) if trial["features"] is not None else None,
        trial["fingerprint"],
    )


def trainable(
    home: Home, storage: Path, workers: int, cpus_per_worker: float, gpus_per_worker: float
) -> Callable[..., None]:
    """The function that Tune calls with a point of its parameter space.

    Args:
        home: The home whose `trials/` results are written to.
        storage: The folder for Train's own records, which are not used.
        workers: The worker processes of one trial.
        cpus_per_worker: The CPUs of each worker.
        gpus_per_worker: The share of a GPU of each worker.
    """
    if workers == 1:
        device = "cuda" if gpus_per_worker else "cpu"
        return functools.partial(_run_in_process, home=home, storage=storage, device=device)
    scaling = group_scaling(workers, cpus_per_worker, gpus_per_worker)
    return functools.partial(_run_in_group, home=home, storage=storage, scaling=scaling)


def group_scaling(workers: int, cpus_per_worker: float, gpus_per_worker: float) -> ScalingConfig:
    """The size of a worker group, and the resources of each worker."""
    resources = {"CPU": cpus_per_worker} | ({"GPU": gpus_per_worker} if gpus_per_worker else {})
    return ScalingConfig(num_workers=workers, use_gpu=gpus_per_worker > 0, resources_per_worker=resources)


def run_group(
    work: Callable[[WorkerGroup, torch.device], None],
    precision: str,
    scaling: ScalingConfig,
    run_config: RunConfig,
) -> None:
    """Run `work` in each process of a worker group, and wait for its end.

    An earlier attempt of the same name must have ended, however it did.

    Args:
        work: Called with the group, as this process belongs to it, and its device.
        precision: The `precision` of the training, which is refused if the hardware can only imitate it.
        scaling: The size of the group.
        run_config: Train's own settings, with a name.
    """
    assert run_config.name is not None
    name = run_config.name

    def loop() -> None:
        note_reservation(name)
        device = ray.train.torch.get_device()
        check_precision(precision, device.type == "cuda")
        work(DistributedGroup(), device)

    free_reservation(name)
    try:
        TorchTrainer(loop, scaling_config=scaling, run_config=run_config).fit()
    finally:
        free_reservation(name)


def _run_in_process(parameters: dict[str, Any], home: Home, storage: Path, device: str) -> None:
    spec = spec_of(parameters, home)

    def loop() -> None:
        check_precision(spec.config.precision, device == "cuda")
        run_trial(spec, home, tune.report, device=device)

    TorchTrainer(loop, scaling_config=ScalingConfig(num_workers=0), run_config=_run_config(spec, storage)).fit()


def _run_in_group(parameters: dict[str, Any], home: Home, storage: Path, scaling: ScalingConfig) -> None:
    spec = spec_of(parameters, home)

    def work(group: WorkerGroup, device: torch.device) -> None:
        run_trial(spec, home, ray.train.report, group=group, device=device)

    run_group(work, spec.config.precision, scaling, _run_config(spec, storage, [TuneReportCallback()]))


def _run_config(spec: TrialSpec, storage: Path, callbacks: list[Any] | None = None) -> RunConfig:
    return RunConfig(name=f"train-{spec.fingerprint}", storage_path=str(storage), callbacks=callbacks)
