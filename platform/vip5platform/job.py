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

from vip5core.config import TrialConfig
from vip5core.data import Dataset
from vip5core.data.sources import dataset_folder, options_of
from vip5core.encoders import EncoderChoice
from vip5core.errors import UserError
from vip5core.features import NO_PICTURE, FeatureStore
from vip5core.fingerprint import canonical_json, code_version, fingerprint
from vip5core.model.backbone import backbone_fingerprint
from vip5core.storage import remove_leftovers, writable_folder
from vip5core.trial import TrialResult, TrialSpec
from vip5platform.baselines import TrainingBaselines, trained_baselines, untrained_baselines
from vip5platform.evidence import gather
from vip5platform.extract import extract
from vip5platform.fleet import Share
from vip5platform.ground import Prepared
from vip5platform.observer import Describe, TrialObserver
from vip5platform.plan import Ground, Options, common_settings
from vip5platform.progress import TrialProgress, bars, console, say, stage, warn
from vip5platform.record import RecordedTrial, StudyRecord, git_state, load_record
from vip5platform.report import answer, note, show, summary, write_report
from vip5platform.search import search_key
from vip5platform.session import Resources, ray_session
from vip5platform.study import Search, Study
from vip5platform.tracking import Tracker, default_uri

#: A disk with less than this is full, in bytes.
_NO_ROOM = 2**20

_ROOT = Path(__file__).parents[2]


@dataclass
class Timeline:
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
class Job:
    """A study or search under way.

    Attributes:
        declared: what is asked.
        options: what the command line says.
        home: everything is written under it.
        grounds: what the trials stand on.
        key: the identity of the question, data, settings and code, whatever the levels and seeds.
        tracker: the MLflow runs.
        timeline: where the time goes.
        asked: a trial of each ground, whose questions the baselines answer; the first of a dataset comes last.
    """

    declared: Study | Search
    options: Options
    home: Path
    grounds: Mapping[Ground, Prepared]
    key: str
    tracker: Tracker
    timeline: Timeline
    asked: Mapping[Ground, TrialConfig] = field(default_factory=dict)

    def record_finished(self, specs: Sequence[TrialSpec], describe: Describe) -> None:
        """See to it that MLflow has all that is known of these finished trials, if it is there."""
        with self.timeline.measure("tracking"), self._if_mlflow_is_there():
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
    def fleet(self, trials: int, encoders: Mapping[Ground, Sequence[EncoderChoice]]) -> Iterator[tuple[Share, int]]:
        """A Ray with all that the trials need: features, and the baselines beside them.

        Args:
            trials: how many there are to run.
            encoders: whose features they need.

        Yields:
            Each trial's share, and how many run side by side.
        """
        with contextlib.ExitStack() as stack:
            with self.timeline.measure("ray"), stage("starting Ray"):
                resources = stack.enter_context(ray_session(self.options.address))
            resources, share = _shares(resources, trials, self.options)
            with self.timeline.measure("features"):
                for ground, choices in encoders.items():
                    self._extract(self.grounds[ground].dataset, choices, resources)
            baselines = TrainingBaselines(self._untrained(), self.home, share.gpus)
            yield share, share.at_once(resources)
            with self.timeline.measure("baselines"), stage("SASRec") as update:
                for reason in baselines.wait(update):
                    warn(f"SASRec could not be trained ({reason}): the report goes without it")
            with self.timeline.measure("ray"):
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
        with self.timeline.measure("trials"), bars() as progress:
            observer = TrialObserver(self.tracker, describe, TrialProgress(progress, lambda s: describe(s)[0], trials))
            yield observer

    def catch_up(self, specs: Sequence[TrialSpec], observer: TrialObserver) -> None:
        """Record what the server missed while it was away, if it is there again."""
        self.record_finished([spec for spec in specs if spec.finished(self.home)], observer.describe)
        for spec in specs:
            if not spec.finished(self.home) and spec.fingerprint in observer.histories.keys() | observer.failures:
                observer.catch_up(spec)

    def record(
        self, factors: Sequence[str], metrics: Sequence[str], trials: Sequence[RecordedTrial], share: Share | None
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
            seconds={name: round(seconds, 1) for name, seconds in self.timeline.seconds.items()},
            parent=self.tracker.parent,
            tracking_uri=self.tracker.uri,
            sasrec=trained_baselines(self.options.baselines, self._by_group(), self.home),
        )

    def _common(self) -> dict[str, Any]:
        return common_settings(self.declared, self.options, self.options.backbone)

    def report(self, record: StudyRecord) -> None:
        """Write, show and record the answer."""
        with self.timeline.measure("report"), stage("report"):
            record.save(self.home)
            evidence = gather(record, self.home)
            files = write_report(evidence, self.home)
        show(evidence, console)
        stages = {name: seconds for name, seconds in self.timeline.seconds.items() if seconds >= 0.5}
        spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in stages.items())
        say(f"[dim]{self.timeline.total:.0f} s: {spent}[/]")
        for file in files:
            say(f"  {escape(short(file))}")
        with self._if_mlflow_is_there():
            self.tracker.close(
                note=note(evidence),
                tags={"vip5.answer": answer(evidence)[:5000]},
                files=[*files, record.folder(self.home) / "study.json"],
                metrics=summary(evidence),
            )
        _say_where(self.tracker.uri)


@contextlib.contextmanager
def opened(
    declared: Study | Search, options: Options, home: Path, grounds: Mapping[Ground, Prepared], timeline: Timeline
) -> Iterator[Job]:
    """The job of a study whose grounds are there; alone with its records, and recorded as killed if it is cut off.

    Raises:
        UserError: if the same study is running already, or there is no MLflow.
    """
    key = _key(declared, options, home, grounds)
    folder = writable_folder(home / "reports" / f"{declared.name}-{key}", "report folder")
    for place in ("trials", "baselines", "datasets", "backbones", "features", f"reports/{folder.name}"):
        remove_leftovers(home / place)
    with _alone(folder):
        with timeline.measure("tracking"):
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
            yield Job(declared, options, home, grounds, key, tracker, timeline)
        except BaseException as error:
            tracker.abandon()
            # Libraries fail on a full disk in ways of their own, Tune by reading an error that it could not write.
            if isinstance(error, Exception) and shutil.disk_usage(home).free < _NO_ROOM:
                raise UserError(
                    f"{str(home)!r} has no room left: free some space, and run the same command again to go on"
                ) from error
            raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two drivers of one study would train its trials twice. The lock goes with the process, however that ends."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder.name}: this study is running already; wait for it, or end it first") from None
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _key(declared: Study | Search, options: Options, home: Path, grounds: Mapping[Ground, Prepared]) -> str:
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


def _share_of(home: Path, name: str, key: str) -> Share:
    """The share that a study's trials had when they were run: nothing is run now."""
    try:
        before = load_record(home / "reports" / f"{name}-{key}")
    except UserError:
        return Share(1, 1, 0.0)
    return Share(before.workers, before.cpus, before.gpus)


def _shares(resources: Resources, trials: int, options: Options) -> tuple[Resources, Share]:
    """What the study may count on, and each trial's share of it.

    GPUs that are asked for by number on a cluster count as there: what waits for them makes an autoscaler add nodes.
    """
    workers, gpus = options.workers_per_trial, options.gpus_per_trial
    if options.address and gpus:
        now, resources = resources, resources.with_nodes_to_come(trials * workers, gpus)
        if now.gpus < gpus * workers:
            say(f"the cluster has {now.gpus:g} GPUs now; waiting for its autoscaler to add nodes")
    return resources, Share.of(resources, trials, workers, gpus)


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
