"""What Ray costs: extraction against a plain loop, and a trial's start by each way to run it. Wall time, all cores."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import open_clip
import torch
from vip5platform.environment import set_environment

from benchmarks.measure import Finding, at_least
from benchmarks.subject import Subject
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.data.sources import prepare
from vip5core.encoders import EncoderChoice, Preparation, load_encoder, open_image
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.model import save_backbone
from vip5core.progress import Progress
from vip5core.trial.fresh_backbone import fresh_backbone
from vip5core.trial.p5_spec import p5_config
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import StudyInputs, TrialSpec

_IMAGES, _BATCH = 1_000, 64
#: Trials so small that nearly all of their wall time is the platform's.
_TRIVIAL = {
    "backbone": "tiny",
    "image_tokens": 0,
    "epochs": 1,
    "batch_size": 64,
    "samples_per_user": (0, 0, 0, 1),
    "train_candidates": 5,
    "validation_users": 5,
    "test_users": 5,
    "tasks": ("sequential", "direct"),
}


def extraction(subject: Subject) -> list[Finding]:
    """ViT-B/32 at its real size with random weights, decoding included: Ray Data against one plain process."""
    set_environment(None)
    from vip5platform.cluster.feature_extraction import extract
    from vip5platform.cluster.ray_cluster import ray_session

    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        dataset = Dataset.load(prepare(f"minimart:{4 * _IMAGES}", None, home))
        weights = home.root / "ViT-B-32.pt"
        torch.save(open_clip.create_model("ViT-B-32-quickgelu").state_dict(), weights)
        choice = EncoderChoice("ViT-B/32", str(weights))
        plain, fleet, steady, start = [], [], [], []
        for number in range(subject.repeats):
            torch.set_num_threads(cores)
            plain.append(_plain_loop(dataset, choice))
            torch.set_num_threads(1)
            begin = time.perf_counter()
            with ray_session(None, cpus=cores) as resources:
                ready = time.perf_counter()
                batches: list[tuple[float, int]] = []
                extract(dataset, [FeatureChoice(choice)], Home(home.root / str(number)), resources, _noted(batches))
                fleet.append(time.perf_counter() - ready)
                (first, before), (last, after) = batches[1], batches[-1]  # the first entry says that nothing is done
                steady.append((after - before) / (last - first))
                start.append(ready - begin)
    n = dataset.n_items
    whole, running = n / statistics.median(fleet), statistics.median(steady)
    baseline = n / statistics.median(plain)
    name = f"extraction, {n} images, {cores} cores"
    return [
        at_least(f"{name}, start of the workers included", "images/s", whole, baseline, whole / baseline, 0.9),
        at_least(f"{name}, once they have started", "images/s", running, baseline, running / baseline, 0.9),
        Finding("start of a local Ray", "s", statistics.median(start)),
    ]


def _noted(batches: list[tuple[float, int]]) -> Progress:
    """A progress callback that notes when how many images were done."""
    return lambda done, total, news="": batches.append((time.perf_counter(), done))


def _plain_loop(dataset: Dataset, choice: EncoderChoice) -> float:
    """Seconds of a plain open_clip loop in this process."""
    encoder, prepare_image = load_encoder(choice), Preparation.of(choice)
    paths = [dataset.folder / image for image in dataset.items["image"]]
    begin = time.perf_counter()
    for place in range(0, len(paths), _BATCH):
        encoder.encode(np.stack([prepare_image(open_image(path)) for path in paths[place : place + _BATCH]]))
    return time.perf_counter() - begin


class IgnoringObserver:
    """An observer of trials that only counts their own time."""

    def __init__(self) -> None:
        self.own = 0.0

    def waiting(self, wanted: str, seconds: float) -> None: ...

    def started(self, spec: TrialSpec) -> None: ...

    def retried(self, spec: TrialSpec, failure: Failure) -> None: ...

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None: ...

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        self.own += result.metrics["cost/seconds"]

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        raise RuntimeError(failure.message)

    def pruned(self, spec: TrialSpec) -> None: ...


def trials(subject: Subject) -> list[Finding]:
    """Wall seconds that a trial costs beside its own, in a reused process and as a group of two workers."""
    set_environment(None)
    from vip5platform.cluster.ray_cluster import ray_session
    from vip5platform.cluster.resources import TrialResources
    from vip5platform.cluster.tune import run_trials

    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        dataset = prepare("minimart:40", None, home)
        backbone = save_backbone(fresh_backbone(Dataset.load(dataset), p5_config()), home.backbones / "tiny")
        inputs = StudyInputs(home, dataset, backbone, {})
        with ray_session(None, cpus=2):
            for name, workers, count in (
                ("first trial of a process", 1, 1),
                ("trial in a reused process, the first included", 1, 6),
                ("trial of a group of two workers", 2, 1),
            ):
                seed = 100 * len(findings)
                specs = [inputs.spec(TrialConfig(**_TRIVIAL, seed=seed + number)) for number in range(count)]
                seen, begin = IgnoringObserver(), time.perf_counter()
                run_trials(specs, home, TrialResources(workers, 1, 0), 1, seen)
                findings.append(
                    Finding(f"overhead, {name}", "s/trial", (time.perf_counter() - begin - seen.own) / count)
                )
    return findings
