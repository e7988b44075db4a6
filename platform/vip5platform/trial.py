"""One trial by Ray Train, as Ray Tune calls it.

Both ways run the same loop through `TorchTrainer`: alone it runs in the process of the Tune actor, which goes on to the
next trial, so that a trial has no start-up to pay; several workers are a group of processes of their own, which share
each batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
from ray import tune
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from vip5core.config import TrialConfig
from vip5core.training.group import DistributedGroup
from vip5core.trial import StudyInputs, TrialSpec, run_trial

#: The key in Tune's parameter space under which a trial's fixed settings stand; the others are searched.
FIXED = "settings"


def config_of(parameters: dict[str, Any]) -> TrialConfig:
    """The trial that a point of Tune's parameter space stands for."""
    searched = {key: value for key, value in parameters.items() if key != FIXED}
    return TrialConfig(**{**parameters.get(FIXED, {}), **searched})


def trainable(
    inputs: StudyInputs, storage: Path, workers: int, cpus_per_worker: float, gpus_per_worker: float
) -> Callable[..., None]:
    """The function that Tune calls with a point of its parameter space.

    Args:
        inputs: what the trials share.
        storage: where Train keeps its own records, which nobody reads.
        workers: processes of one trial.
        cpus_per_worker: for each.
        gpus_per_worker: share of a GPU for each.
    """
    if workers == 1:
        device = "cuda" if gpus_per_worker else "cpu"
        return functools.partial(_run_in_process, inputs=inputs, storage=storage, device=device)
    resources = {"CPU": cpus_per_worker} | ({"GPU": gpus_per_worker} if gpus_per_worker else {})
    scaling = ScalingConfig(num_workers=workers, use_gpu=gpus_per_worker > 0, resources_per_worker=resources)
    return functools.partial(_run_in_group, inputs=inputs, storage=storage, scaling=scaling)


def _run_in_process(parameters: dict[str, Any], inputs: StudyInputs, storage: Path, device: str) -> None:
    spec = inputs.spec(config_of(parameters))

    def loop() -> None:
        run_trial(spec, inputs.home, tune.report, device=device)

    TorchTrainer(loop, scaling_config=ScalingConfig(num_workers=0), run_config=_run_config(spec, storage)).fit()


def _run_in_group(parameters: dict[str, Any], inputs: StudyInputs, storage: Path, scaling: ScalingConfig) -> None:
    spec = inputs.spec(config_of(parameters))

    def loop() -> None:
        device = ray.train.torch.get_device()
        run_trial(spec, inputs.home, ray.train.report, group=DistributedGroup(), device=device)

    run_config = _run_config(spec, storage, [TuneReportCallback()])
    TorchTrainer(loop, scaling_config=scaling, run_config=run_config).fit()


def _run_config(spec: TrialSpec, storage: Path, callbacks: list[Any] | None = None) -> RunConfig:
    return RunConfig(name=f"train-{spec.fingerprint}", storage_path=str(storage), callbacks=callbacks)
