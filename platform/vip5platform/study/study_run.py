"""A study or a search under way: alone on its records, with a Ray for as long as it takes, reported at the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlflow.exceptions import MlflowException
from rich.markup import escape
from vip5platform.analysis.record import RecordedTrial, StudyRecord, git_state, load_record
from vip5platform.analysis.results import load_results
from vip5platform.cluster.feature_extraction import extract
from vip5platform.cluster.ray_cluster import ray_session
from vip5platform.cluster.resources import ClusterResources, TrialResources
from vip5platform.cluster.sasrec import TrainingBaselines, trained_baselines, untrained_baselines
from vip5platform.console import TrialProgress, bars, console, say, stage, warn
from vip5platform.declarations import Search, Study
from vip5platform.options import Options
from vip5platform.report import note, show, summary, write_report
from vip5platform.report.sections import answer
from vip5platform.search import search_key
from vip5platform.study.inputs import PreparedInputs
from vip5platform.study.observer import Describe, TrialObserver
from vip5platform.study.plan import InputRequest, common_settings
from vip5platform.tracking import Tracker, default_uri

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import NO_PICTURE, FeatureStore
from vip5core.data.sources import dataset_folder, options_of
from vip5core.encoders import EncoderChoice
from vip5core.errors import UserError
from vip5core.fingerprint import canonical_json, code_version, fingerprint
from vip5core.model import backbone_fingerprint
from vip5core.storage import remove_leftovers, writable_folder
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec

#: A disk with less than this is full, in bytes.
_NO_ROOM = 2**20

_ROOT = Path(__file__).parents[2]


@dataclass
class Stopwatch:
    """Where a study's wall time goes, by stage."""

    start: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @property
    def total(self) -> float:
        return time.perf_counter() - self.start


@dataclass
class StudyRun:
    """A study or search under way.

    Attributes:
        declared: what is asked.
        options: what the command line says.
        home: everything is written under it.
        grounds: what the trials stand on.
        key: the identity of the question, data, settings and code, whatever the levels and seeds.
        tracker: the MLflow runs.
        stopwatch: where the time goes.
        asked: a trial of each ground, whose questions the baselines answer; the first of a dataset comes last.
    """

    declared: Study | Search
    options: Options
    home: Path
    grounds: Mapping[InputRequest, PreparedInputs]
    key: str
    tracker: Tracker
    stopwatch: Stopwatch
    asked: Mapping[InputRequest, TrialConfig] = field(default_factory=dict)

    def record_finished(self, specs: Sequence[TrialSpec], describe: Describe) -> None:
        """See to it that MLflow has all that is known of these finished trials, if it is there."""
        with self.stopwatch.measure("tracking"), self._if_mlflow_is_there():
            for spec in specs:
                self.tracker.open(spec, *describe(spec))
                self.tracker.finished(spec, TrialResult.load(spec.folder(self.home)))

    @contextlib.contextmanager
    def _if_mlflow_is_there(self) -> Iterator[None]:
        try:
            yield
        except MlflowException as error:
            reason = str(error).splitlines()[0][:120]
            warn(f"MLflow does not answer ({reason}): run the same command again to record what it misses")

    @contextlib.contextmanager
    def fleet(
        self, trials: int, encoders: Mapping[InputRequest, Sequence[EncoderChoice]]
    ) -> Iterator[tuple[TrialResources, int]]:
        """A Ray with all that the trials need: features, and the baselines beside them.

        Args:
            trials: how many there are to run.
            encoders: whose features they need.

        Yields:
            Each trial's share, and how many run side by side.
        """
        with contextlib.ExitStack() as stack:
            with self.stopwatch.measure("ray"), stage("starting Ray"):
                resources = stack.enter_context(ray_session(self.options.address))
            resources, share = _shares(resources, trials, self.options)
            with self.stopwatch.measure("features"):
                for ground, choices in encoders.items():
                    self._extract(self.grounds[ground].dataset, choices, resources)
            baselines = TrainingBaselines(self._untrained(), self.home, share.gpus)
            yield share, share.at_once(resources)
            with self.stopwatch.measure("baselines"), stage("SASRec") as update:
                for reason in baselines.wait(update):
                    warn(f"SASRec could not be trained ({reason}): the report goes without it")
            with self.stopwatch.measure("ray"):
                stack.close()

    @property
    def lacks_baselines(self) -> bool:
        """Is a baseline still to be trained?"""
        return bool(self._untrained())

    def _untrained(self) -> list[tuple[Dataset, TrialConfig]]:
        return untrained_baselines(self.options.baselines, list(self._by_group().values()), self.home)

    def _by_group(self) -> dict[str, tuple[Dataset, TrialConfig]]:
        return {g.dataset: (self.grounds[g].dataset, config) for g, config in self.asked.items()}

    def _extract(self, dataset: Dataset, choices: Sequence[EncoderChoice], resources: Resources) -> None:
        with stage("image features") as update:
            stores = extract(
                dataset,
                choices,
                self.home,
                resources,
                lambda done, total: update(done, total, ""),
                self.options.gpus_per_trial,
            )
        for choice, folder in stores.items():
            ledger = FeatureStore.load(folder).ledger
            unreadable = ledger[ledger["reason"] != NO_PICTURE]
            if len(unreadable):
                item, reason = unreadable.iloc[0]
                warn(
                    f"{choice.name}: {len(unreadable)} pictures cannot be used (item {item}: {reason}, …); "
                    f"all are in {folder / 'ledger.parquet'}"
                )

    @contextlib.contextmanager
    def watched(self, describe: Describe, trials: int) -> Iterator[TrialObserver]:
        """An observer with progress bars; what MLflow missed while trials ran is recorded at the end."""
        with self.stopwatch.measure("trials"), bars() as progress:
            observer = TrialObserver(self.tracker, describe, TrialProgress(progress, lambda s: describe(s)[0], trials))
            yield observer

    def catch_up(self, specs: Sequence[TrialSpec], observer: TrialObserver) -> None:
        """Record what the server missed while it was away, if it is there again."""
        self.record_finished([spec for spec in specs if spec.finished(self.home)], observer.describe)
        for spec in specs:
            if not spec.finished(self.home) and spec.fingerprint in observer.histories.keys() | observer.failures:
                observer.catch_up(spec)

    def record(
        self,
        factors: Sequence[str],
        metrics: Sequence[str],
        trials: Sequence[RecordedTrial],
        share: TrialResources | None,
    ) -> StudyRecord:
        """What was run, for the report and those to come."""
        kind: Literal["study", "search"] = "study" if isinstance(self.declared, Study) else "search"
        commit, dirty = git_state(_ROOT)
        before = _share_of(self.home, self.declared.name, self.key) if share is None else share
        return StudyRecord(
            kind=kind,
            name=self.declared.name,
            question=self.declared.question,
            key=self.key,
            factors=list(factors),
            metrics=list(metrics),
            settings={key: str(value) for key, value in sorted(self._common().items())},
            trials=list(trials),
            baselines=list(self.options.baselines),
            command=shlex.join([Path(sys.executable).name, *sys.argv]),
            commit=commit,
            dirty=dirty,
            workers=before.workers,
            gpus=before.gpus,
            cpus=before.cpus,
            seconds={name: round(seconds, 1) for name, seconds in self.stopwatch.seconds.items()},
            parent=self.tracker.parent,
            tracking_uri=self.tracker.uri,
            sasrec=trained_baselines(self.options.baselines, self._by_group(), self.home),
        )

    def _common(self) -> dict[str, Any]:
        return common_settings(self.declared, self.options, self.options.backbone)

    def report(self, record: StudyRecord) -> None:
        """Write, show and record the answer."""
        with self.stopwatch.measure("report"), stage("report"):
            record.save(self.home)
            study = load_results(record, self.home)
            files = write_report(study, self.home)
        show(study, console)
        stages = {name: seconds for name, seconds in self.stopwatch.seconds.items() if seconds >= 0.5}
        spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in stages.items())
        say(f"[dim]{self.stopwatch.total:.0f} s: {spent}[/]")
        for file in files:
            say(f"  {escape(short(file))}")
        with self._if_mlflow_is_there():
            self.tracker.close(
                note=note(study),
                tags={"vip5.answer": answer(study)[:5000]},
                files=[*files, record.folder(self.home) / "study.json"],
                metrics=summary(study),
            )
        _say_where(self.tracker.uri)


@contextlib.contextmanager
def open_study_run(
    declared: Study | Search,
    options: Options,
    home: Path,
    grounds: Mapping[InputRequest, PreparedInputs],
    stopwatch: Stopwatch,
) -> Iterator[StudyRun]:
    """The job of a study whose grounds are there; alone with its records, and recorded as killed if it is cut off.

    Raises:
        UserError: if the same study is running already, or there is no MLflow.
    """
    key = _key(declared, options, home, grounds)
    folder = writable_folder(home / "reports" / f"{declared.name}-{key}", "report folder")
    for place in ("trials", "baselines", "datasets", "backbones", "features", f"reports/{folder.name}"):
        remove_leftovers(home / place)
    with study_lock(folder):
        with stopwatch.measure("tracking"):
            names = ", ".join(dict.fromkeys(prepared.dataset.name for prepared in grounds.values()))
            commit, dirty = git_state(_ROOT)
            tags = {
                "vip5.study": declared.name,
                "vip5.question": declared.question,
                "vip5.dataset": names,
                "vip5.git_commit": commit,
                "vip5.git_state": ("dirty" if dirty else "clean") if commit else "none",
                "vip5.code": code_version(),
            }
            uri = options.tracking_uri or default_uri(home)
            tracker = Tracker(uri, home, f"{declared.question} · {names}", key, tags)
        try:
            yield StudyRun(declared, options, home, grounds, key, tracker, stopwatch)
        except BaseException as error:
            tracker.mark_killed()
            # Libraries fail on a full disk in ways of their own, Tune by reading an error that it could not write.
            if isinstance(error, Exception) and shutil.disk_usage(home).free < _NO_ROOM:
                raise UserError(
                    f"{str(home)!r} has no room left: free some space, and run the same command again to go on"
                ) from error
            raise


@contextlib.contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Two drivers of one study would train its trials twice. The lock goes with the process, however that ends."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder.name}: this study is running already; wait for it, or end it first") from None
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _key(declared: Study | Search, options: Options, home: Path, grounds: Mapping[InputRequest, PreparedInputs]) -> str:
    """The identity of a question with its data, settings and code, whatever the levels and seeds."""
    common = common_settings(declared, options, options.backbone)
    varied = declared.varied if isinstance(declared, Study) else frozenset()
    ground = next(iter(grounds.values()))
    stands_on = [str(options.p5_epochs)]
    if not varied & {"dataset", "ids"}:
        stands_on.append(ground.dataset.fingerprint)
        if "backbone" not in varied:
            stands_on.append(backbone_fingerprint(ground.backbone))
    elif "dataset" not in varied:  # the same data under several numberings
        how = options_of(options.dataset)
        stands_on.append(dataset_folder(options.dataset, options.source, home, how).name)
    if isinstance(declared, Search):
        return search_key(declared, options.sampler, *stands_on, canonical_json({k: str(v) for k, v in common.items()}))
    return fingerprint(declared.name, stands_on, {k: str(v) for k, v in common.items()}, code_version())


def _share_of(home: Path, name: str, key: str) -> TrialResources:
    """The share that a study's trials had when they were run: nothing is run now."""
    try:
        before = load_record(home / "reports" / f"{name}-{key}")
    except UserError:
        return TrialResources(1, 1, 0.0)
    return TrialResources(before.workers, before.cpus, before.gpus)


def _shares(resources: Resources, trials: int, options: Options) -> tuple[Resources, TrialResources]:
    """What the study may count on, and each trial's share of it.

    GPUs that are asked for by number on a cluster count as there: what waits for them makes an autoscaler add nodes.
    """
    workers, gpus = options.workers_per_trial, options.gpus_per_trial
    if options.address and gpus:
        now, resources = resources, resources.with_nodes_to_come(trials * workers, gpus)
        if now.gpus < gpus * workers:
            say(f"the cluster has {now.gpus:g} GPUs now; waiting for its autoscaler to add nodes")
    return resources, TrialResources.of(resources, trials, workers, gpus)


def short(path: Path) -> str:
    """A path as one would type it here."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _say_where(uri: str) -> None:
    if uri.startswith("http"):
        say(f"Compare the runs: [bold]{escape(uri)}[/]")
        return
    prefix = "sqlite:///"
    where = prefix + short(Path(uri.removeprefix(prefix))) if uri.startswith(prefix) else uri
    command = f"{short(Path(sys.executable))} -m mlflow ui --backend-store-uri {where}"
    say(f"Compare the runs: [bold]{escape(command)}[/]")
