"""A study from its declaration to its answer."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from mlflow.exceptions import MlflowException
from rich.markup import escape

from vip5core.config import TrialConfig
from vip5core.data import Dataset
from vip5core.data.sources import options_of, prepare
from vip5core.encoders import PUBLISHED, EncoderChoice
from vip5core.errors import UserError
from vip5core.evaluation.baselines import BASELINES, evaluate_baseline
from vip5core.features import NO_PICTURE, FeatureStore
from vip5core.fingerprint import fingerprint
from vip5core.model.backbone import TINY, backbone_fingerprint, load_backbone
from vip5core.storage import writable_folder
from vip5core.trial import StudyInputs, TrialResult, TrialSpec
from vip5core.trial_inputs import TrialInputs
from vip5platform.backbone import backbone_folder
from vip5platform.dataset_tables import dataset_summary
from vip5platform.extract import extract, store_folder
from vip5platform.fleet import Share, run_trials
from vip5platform.plan import Options, PlannedTrial, common_settings, encoders_of, plan_trials
from vip5platform.plots import plot
from vip5platform.progress import TrialProgress, bars, console, say, stage, warn
from vip5platform.report import Report, Row
from vip5platform.session import Resources, ray_session
from vip5platform.study import Study
from vip5platform.tracking import Tracker, default_uri


@dataclass(frozen=True)
class StudyTrial:
    """A planned trial with its spec."""

    planned: PlannedTrial
    spec: TrialSpec


class Timeline:
    """Where a study's wall time goes, by stage."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.seconds: dict[str, float] = {}

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


def run_study(study: Study, options: Options) -> bool:
    """Run what of `study` is not yet finished, report and record it.

    Returns:
        Whether every trial finished.

    Raises:
        UserError: for anything that the user can mend.
    """
    timeline = Timeline()
    planned = plan_trials(study, options)
    say(f"[bold]{escape(study.question)}[/]")
    if options.dry_run:
        _show_plan(planned)
        return True
    home = writable_folder(options.home, "--home")
    prepared = Path(options.dataset) / "manifest.json"
    if prepared.is_file() and (options.ids or options.source):
        given = f"--ids {options.ids}" if options.ids else f"--source {str(options.source)!r}"
        raise UserError(f"{given}: {options.dataset!r} is prepared already; leave it out, or prepare it again with it")
    with timeline.measure("data"), stage("dataset"):
        dataset = Dataset.load(
            prepare(options.dataset, options.source, home, options_of(options.dataset, id_scheme=options.ids))
        )
    dataset_summary(dataset)
    planned = _as_pictured(planned, dataset)
    with timeline.measure("backbone"), stage("backbone" if options.backbone != TINY else "P5 stage") as update:
        backbone = backbone_folder(options.backbone, dataset, home, options.p5_epochs, update)
        load_backbone(backbone)  # what cannot be read is said now, not by every trial
    choices = encoders_of([trial.config for trial in planned])
    stores = {(choice.name, choice.weights): store_folder(dataset, choice, home) for choice in choices}
    inputs = StudyInputs(home, dataset.folder, backbone, stores)
    trials = [StudyTrial(trial, inputs.spec(trial.config)) for trial in planned]
    with timeline.measure("tracking"):
        key = _key(study, options, dataset, backbone)
        tracker = _tracker(study, options, home, dataset, key)
    try:
        failures = _run_missing(trials, inputs, dataset, choices, options, tracker, timeline)
        with timeline.measure("report"):
            report = _report(study, dataset, trials, inputs, failures)
            _show(report, home / "reports" / f"{study.name}-{key}", tracker, timeline)
    except BaseException:
        tracker.abandon()
        raise
    return all(trial.spec.finished(home) for trial in trials)


def _as_pictured(planned: list[PlannedTrial], dataset: Dataset) -> list[PlannedTrial]:
    """The trials as they can be run: text-only, if the dataset has no picture at all."""
    lacking = [trial for trial in planned if trial.config.uses_images and trial.config.encoder_weights != PUBLISHED]
    if not lacking or dataset.items["image_sha256"].notna().any():
        return planned
    warn(f"{dataset.name} has no pictures: every trial is text-only (image_tokens=0)")
    return [
        replace(trial, config=TrialConfig.from_settings({**trial.config.model_dump(), "image_tokens": 0}))
        for trial in planned
    ]


def _run_missing(
    trials: Sequence[StudyTrial],
    inputs: StudyInputs,
    dataset: Dataset,
    choices: Sequence[EncoderChoice],
    options: Options,
    tracker: Tracker,
    timeline: Timeline,
) -> dict[str, str]:
    """Extract and train what is missing; returns the reason of each trial that failed, by fingerprint."""
    # Cells that differ in name only, such as text-only under several encoders, are one trial: the first stands for all.
    unique = {trial.spec.fingerprint: trial for trial in reversed(trials)}
    todo = {
        identity: unique[identity] for identity in reversed(unique) if not unique[identity].spec.finished(inputs.home)
    }
    done = [trial for trial in trials if trial.spec.fingerprint not in todo]
    with timeline.measure("tracking"):
        for trial in {trial.spec.fingerprint: unique[trial.spec.fingerprint] for trial in done}.values():
            tracker.open(trial.spec, trial.planned.label, trial.planned.cell)
            tracker.finished(trial.spec, TrialResult.load(trial.spec.folder(inputs.home)))
    if done:
        rest = f"; {len(todo)} to train" if todo else ": nothing to train"
        say(f"{len(done)} of {len(trials)} trials were finished before{rest}")
    if not todo:
        return {}
    with contextlib.ExitStack() as stack:
        with timeline.measure("ray"), stage("starting Ray"):
            resources = stack.enter_context(ray_session(options.address))
        resources, share = _shares(resources, len(todo), options)
        with timeline.measure("features"):
            _extract(dataset, choices, inputs.home, resources, options)
        observer = _Observer(tracker, todo)
        with timeline.measure("trials"), bars() as progress:
            labels = {identity: trial.planned.label for identity, trial in todo.items()}
            observer.progress = TrialProgress(progress, labels, len(todo))
            configs = [trial.planned.config for trial in todo.values()]
            run_trials(configs, inputs, share, share.at_once(resources), observer)
        with timeline.measure("ray"):
            stack.close()
    return observer.failures


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


class _Observer:
    """Tells MLflow and the screen about trials, and remembers the failed."""

    progress: TrialProgress

    def __init__(self, tracker: Tracker, trials: Mapping[str, StudyTrial]) -> None:
        self.tracker = tracker
        self.trials = trials
        self.failures: dict[str, str] = {}

    def started(self, spec: TrialSpec) -> None:
        with self._recording():
            self._opened(spec)
        self.progress.started(spec)

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
        with self._recording():
            self._opened(spec)
            self.tracker.epoch(spec, metrics)
        self.progress.epoch(spec, metrics)

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        with self._recording():
            self._opened(spec)
            self.tracker.finished(spec, result)
        self.progress.finished(spec, result)

    def failed(self, spec: TrialSpec, reason: str) -> None:
        self.failures[spec.fingerprint] = reason
        with self._recording():
            self._opened(spec)
            self.tracker.failed(spec, reason)
        self.progress.failed(spec, reason)

    def _opened(self, spec: TrialSpec) -> None:
        if spec.fingerprint not in self.tracker.children:
            planned = self.trials[spec.fingerprint].planned
            self.tracker.open(spec, planned.label, planned.cell)

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        """A tracking server that is away must not end the trials: what it misses is recorded by the next run."""
        try:
            yield
        except MlflowException as error:
            warn(f"MLflow did not record an event ({str(error).splitlines()[0][:120]}); run the command again later")


def _extract(
    dataset: Dataset, choices: Sequence[EncoderChoice], home: Path, resources: Resources, options: Options
) -> None:
    with stage("image features") as update:
        stores = extract(
            dataset, choices, home, resources, lambda done, total: update(done, total, ""), options.gpus_per_trial
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


def _report(
    study: Study, dataset: Dataset, trials: Sequence[StudyTrial], inputs: StudyInputs, failures: Mapping[str, str]
) -> Report:
    values: dict[tuple[str, ...], dict[str, list[float]]] = {}
    reasons: dict[tuple[str, ...], str] = {}
    lines = []
    for trial in trials:
        cell = tuple(trial.planned.cell.values())
        found = values.setdefault(cell, {})
        line = {**trial.planned.cell, "seed": trial.planned.config.seed, "fingerprint": trial.spec.fingerprint}
        if trial.spec.finished(inputs.home):
            result = TrialResult.load(trial.spec.folder(inputs.home))
            for name, value in result.metrics.items():
                found.setdefault(name, []).append(value)
            lines.append({**line, "failure": "", **result.metrics})
        else:
            reasons[cell] = failures.get(trial.spec.fingerprint, "not run")
            lines.append({**line, "failure": reasons[cell]})
    levels = [Row(", ".join(cell), found, reasons.get(cell)) for cell, found in values.items()]
    config = trials[0].planned.config
    tables = TrialInputs(dataset, load_backbone(inputs.backbone), None)
    questions = tables.evaluator(config).questions("test", config.test_users)
    baselines = []
    for name in BASELINES:
        metrics, _ = evaluate_baseline(name, dataset, questions, config)
        baselines.append(Row(name, {key: [value] for key, value in metrics.items()}))
    return Report(study, dataset.name, levels, baselines, pd.DataFrame(lines))


def _show(report: Report, folder: Path, tracker: Tracker, timeline: Timeline) -> None:
    files = [*report.write(folder), plot(report, folder / "plot.png")]
    for table in report.tables(console):
        console.print(table)
    for row in report.levels:
        if row.failure:
            warn(f"{row.name}: {row.failure}")
    say(escape(report.answer()))
    own = report.trials.get("cost/seconds", pd.Series(dtype=float)).sum()
    stages = {name: seconds for name, seconds in timeline.seconds.items() if seconds >= 0.5}
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in stages.items())
    say(f"[dim]{timeline.total:.0f} s: {spent}. The trials' own time, all runs added up: {own:.0f} s[/]")
    for file in files:
        say(f"  {escape(_short(file))}")
    tracker.close(
        note=report.markdown(),
        tags={"vip5.question": report.study.question, "vip5.answer": report.answer()},
        files=files,
        metrics={**report.summary(), "cost/trial_seconds": float(own)},
    )
    if tracker.uri.startswith("http"):
        say(f"Compare the runs: [bold]{escape(tracker.uri)}[/]")
    else:
        command = f"{_short(Path(sys.executable))} -m mlflow ui --backend-store-uri {_short_uri(tracker.uri)}"
        say(f"Compare the runs: [bold]{escape(command)}[/]")


def _key(study: Study, options: Options, dataset: Dataset, backbone: Path) -> str:
    """The identity of a study: its question, data, settings and code, whatever its levels and seeds."""
    common = common_settings(study, options)
    return fingerprint(
        study.name, dataset.fingerprint, backbone_fingerprint(backbone), {k: str(v) for k, v in common.items()}
    )


def _tracker(study: Study, options: Options, home: Path, dataset: Dataset, key: str) -> Tracker:
    tags = {"vip5.study": study.name, "vip5.question": study.question, "vip5.dataset": dataset.name}
    return Tracker(options.tracking_uri or default_uri(home), home, f"{study.name} · {dataset.name}", key, tags)


def _show_plan(planned: Sequence[PlannedTrial]) -> None:
    for trial in planned:
        config = trial.config
        say(
            f"  {escape(trial.label)}  [dim]{config.tuning}, reduction factor {config.reduction_factor}, "
            f"{config.image_tokens} image tokens, {config.epochs} epochs[/]"
        )
    say(f"{len(planned)} trials; nothing was run or written (--dry-run)")


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _short_uri(uri: str) -> str:
    prefix = "sqlite:///"
    return prefix + _short(Path(uri.removeprefix(prefix))) if uri.startswith(prefix) else uri
