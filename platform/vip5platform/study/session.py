"""The Ray cluster of one run of a study, and what runs on it before the trials and beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.markup import escape

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.data.feature_store import unreadable_images
from vip5core.data.own_features import OwnFeatureCounts
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.progress import Progress
from vip5core.trial.p5_spec import P5Stage
from vip5platform.cluster.feature_stores import store_folder
from vip5platform.cluster.ray_cluster import ray_session
from vip5platform.cluster.resources import ClusterResources, TrialResources
from vip5platform.console import say, stage, stages, warn
from vip5platform.options import Options
from vip5platform.study.timeline import Timeline
from vip5platform.tracking.recorded import default_uri

if TYPE_CHECKING:  # Ray and PyTorch take seconds to import, and a finished study needs neither
    from vip5platform.cluster.sasrec import SasrecTraining


@dataclass(frozen=True)
class Needs:
    """What a study still needs besides its trials.

    Attributes:
        backbones: The P5 stages that train backbones.
        features: The datasets whose image features are needed, with what they are made with.
        baselines: The datasets to train SASRec on, each with the config of its test questions.
    """

    backbones: Sequence[P5Stage] = ()
    features: Sequence[tuple[Dataset, Sequence[FeatureChoice]]] = ()
    baselines: Sequence[tuple[Dataset, TrialConfig]] = ()


class Session:
    """A context in which Ray runs from the first call of `prepare` until `finish`.

    Args:
        options: The command line options.
        home: The folder that everything is written to.
        timeline: Notes when each stage was under way.
    """

    def __init__(self, options: Options, home: Home, timeline: Timeline) -> None:
        self.options, self.home, self.timeline = options, home, timeline
        self._sasrec: SasrecTraining | None = None
        self._cluster: ClusterResources | None = None
        self._ray = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ray.close()

    def check_resources(self) -> None:
        """Refuse a trial that will never find the GPUs or CPUs that it asks for, before anything is prepared.

        Raises:
            UserError: If the cluster, or this machine, cannot hold one trial.
        """
        options = self.options
        if options.address:
            self.divide(1)
        elif options.gpus_per_worker is not None or options.workers_per_trial > 1:
            here = ClusterResources.of_this_machine()
            TrialResources.of(here, 1, options.workers_per_trial, options.gpus_per_worker)

    def prepare(self, needs: Needs, trials: int) -> dict[Path, Failure]:
        """Train backbones and extract features side by side, and start to train baselines.

        The backbones come first: trials wait longest for them. The CPUs that are left extract features, and then train
        SASRec, which may go on beside the trials.

        Args:
            needs: What is needed; what exists already is not made again.
            trials: The number of trials to come, which share the cluster.

        Returns:
            Why backbones could not be trained, by the folder of each.

        Raises:
            UserError: If features cannot be extracted, or the trials need more than the cluster has.
        """
        from vip5platform.cluster.sasrec import SasrecTraining

        cluster, resources = self.divide(trials)
        if self._sasrec is None:
            self._sasrec = SasrecTraining(self.home)
        with stages() as add, self._pretrain(needs.backbones, resources, add) as pretrained:
            for dataset, choices in needs.features:
                self._extract(dataset, choices, cluster, add)
            self._sasrec.start(needs.baselines, resources.gpus)
            if needs.backbones:
                _make_database(self.options, self.home)
            if needs.baselines:
                self._wait_for(self._sasrec, add("SASRec"), pretrained.done)
            return pretrained.result()

    def divide(self, trials: int) -> tuple[ClusterResources, TrialResources]:
        """The resources of the cluster and of each trial; starts Ray if it does not run.

        What the autoscaler of a joined cluster can add counts as present: pending requests make it add nodes.
        """
        started = self._cluster is None
        if self._cluster is None:
            with self.timeline.measure("ray"), stage("starting Ray"):
                self._cluster = self._ray.enter_context(ray_session(self.options.address))
        now, workers, gpus = self._cluster, self.options.workers_per_trial, self.options.gpus_per_worker
        if gpus is None:
            gpus = float(max(now.gpus, now.most_gpus) > 0)
        cluster = now.with_nodes_to_come(trials * workers, gpus)
        resources = TrialResources.of(cluster, trials, workers, gpus)
        if started and workers > min(now.cpus, now.places(gpus)):
            there = f"{now.cpus:g} CPUs and {now.gpus:g} GPUs"
            asked = f"{gpus:g} GPU" if gpus else "a CPU"
            say(f"the cluster has {there} now; each worker asks its autoscaler for {asked}")
        return cluster, resources

    def finish(self) -> None:
        """Wait for the baselines, and end Ray."""
        if self._sasrec is not None:
            with stage("SASRec") as update:
                self._wait_for(self._sasrec, update, lambda: False)
            for start, end in self._sasrec.spans:
                self.timeline.add("baselines", start, end)
        with self.timeline.measure("ray"):
            self._ray.close()

    @contextlib.contextmanager
    def _pretrain(
        self, todo: Sequence[P5Stage], resources: TrialResources, add: Callable[[str], Progress]
    ) -> Iterator[Future[dict[Path, Failure]]]:
        """Train backbones beside the block, whose end, however it comes, ends the wait for them."""
        if not todo:
            nothing: Future[dict[Path, Failure]] = Future()
            nothing.set_result({})
            yield nothing
            return
        from vip5platform.cluster.pretraining import Pretraining

        training = Pretraining(todo, resources, self.home)

        def wait() -> dict[Path, Failure]:
            with self.timeline.measure("P5 stage"):
                return training.wait(lambda stage: add(stage.label if len(todo) > 1 else "P5 stage"))

        with ThreadPoolExecutor(1, thread_name_prefix="p5-stage") as thread:
            try:
                yield thread.submit(wait)
            finally:
                training.stop()

    def _wait_for(self, training: SasrecTraining, progress: Progress, until: Callable[[], bool]) -> None:
        for dataset, failure in training.wait(progress, until):
            warn(f"SASRec could not be trained on {dataset} ({failure.message}): the report omits it")

    def _extract(
        self,
        dataset: Dataset,
        choices: Sequence[FeatureChoice],
        cluster: ClusterResources,
        add: Callable[[str], Progress],
    ) -> None:
        # Choices that come to the same on this dataset have one store.
        missing = {
            folder: choice
            for choice in choices
            if not (folder := self.home.fetch(store_folder(dataset, choice, self.home))).is_dir()
        }
        if not missing:
            return
        from vip5platform.cluster.feature_extraction import extract

        progress = add("image features")
        with self.timeline.measure("features"):
            extract(dataset, choices, self.home, cluster, progress, self.options.gpus_per_worker)
        for folder, choice in missing.items():
            _tell_of_features(choice.encoder.name, dataset.n_items, folder)


def _tell_of_features(encoder: str, items: int, store: Path) -> None:
    """Say which images could not be read; of features of the user's own, which rows are used."""
    counts = OwnFeatureCounts.load(store)
    if counts is not None:
        told = f"{encoder}: {counts.used:,} of {items:,} items have a feature, from {counts.rows:,} rows"
        problems = counts.problems()
        if problems:
            warn(f"{told}; rows that are not used: {problems}; the items are listed in {store / 'ledger.parquet'}")
        else:
            say(escape(told))
        return
    unreadable, listed = unreadable_images(store)
    if len(unreadable):
        item, reason = unreadable[["item", "reason"]].iloc[0]
        warn(f"{encoder}: {len(unreadable)} unreadable images (item {item}: {reason}, …), listed in {listed}")


def _make_database(options: Options, home: Home) -> None:
    """Make MLflow's database while other processes work."""
    from vip5platform.tracking.tracker import make_database  # late, because MLflow takes seconds to import

    make_database(options.tracking_uri or default_uri(home))
