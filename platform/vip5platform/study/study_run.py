"""One run of a study or search: exclusive access to its records, a Ray cluster while needed, and the report."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from vip5core.config import TrialConfig, as_text
from vip5core.data.dataset import Dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.errors import DiskFullError, Failure, UserError
from vip5core.fingerprint import code_version, fingerprint
from vip5core.home import Home
from vip5core.storage import remove_leftovers, writable_folder
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec
from vip5platform.analysis.baselines import datasets_without_sasrec, sasrec_folders
from vip5platform.analysis.record import RecordedTrial, StudyRecord, git_state, load_record
from vip5platform.analysis.results import load_results
from vip5platform.cluster.resources import TrialResources
from vip5platform.console import TrialProgress, bars, console, describe_stages, duration, say, stage
from vip5platform.declarations import Search, Study
from vip5platform.options import Options
from vip5platform.report.files import PLOT, content_of, summary, update_report
from vip5platform.report.render.markdown import note
from vip5platform.report.render.terminal import show
from vip5platform.report.sections.answer import answer
from vip5platform.study.event_queue import EventQueue
from vip5platform.study.inputs import PreparedInputs, join_features, questions
from vip5platform.study.keys import study_key
from vip5platform.study.observer import Describe, TrialObserver
from vip5platform.study.plan import InputRequest, common_settings
from vip5platform.study.recording import Recording
from vip5platform.study.session import Needs, Session
from vip5platform.study.timeline import Timeline
from vip5platform.study.workload import Workload
from vip5platform.tracking.recorded import default_uri
from vip5platform.tracking.ui import artifact_address, short_path, ui_command, view_link, view_tag

#: A disk with less free space than this is considered full, in bytes.
_DISK_FULL_BELOW = 2**20

_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class StudyRun:
    """A run of a study or search.

    Attributes:
        declared: The declaration.
        inputs: The available inputs of the trials.
        examples: The config of the first trial of each request, in the order of the trials; the first of a dataset
            determines the test questions of its baselines.
        key: The identity of the study; see `study.keys`.
        recording: The MLflow runs.
        session: The Ray cluster, and the times of each stage.
    """

    declared: Study | Search
    inputs: Mapping[InputRequest, PreparedInputs]
    examples: Mapping[InputRequest, TrialConfig]
    key: str
    recording: Recording
    session: Session

    @property
    def options(self) -> Options:
        """The command line options."""
        return self.session.options

    @property
    def home(self) -> Home:
        """The folder that everything is written to."""
        return self.session.home

    @property
    def timeline(self) -> Timeline:
        """When each stage was under way."""
        return self.session.timeline

    def record_finished(self, specs: Sequence[TrialSpec], describe: Describe) -> None:
        """Record all finished P5 stages and trials in MLflow that it does not have yet, if it can be reached."""
        with self.timeline.measure("tracking"):
            finished = [spec for spec in specs if spec.is_finished(self.home)]
            stages = self._finished_stages()
            if self.recording.has([spec.fingerprint for spec in finished], stages):
                return
            tracker = self.recording.tracker
            with tracker.recording():
                tracker.stages(stages.values())
                for spec in finished:
                    tracker.open(spec, *describe(spec))
                    tracker.finished(spec, TrialResult.load(spec.folder(self.home)))

    def _finished_stages(self) -> dict[str, P5Stage]:
        """The P5 stages of the study whose backbones are there, by name."""
        stages = (prepared.stage for prepared in self.inputs.values())
        return {stage.name: stage for stage in stages if stage is not None and stage.is_finished}

    @contextlib.contextmanager
    def cluster(
        self, trials: int, needed: Mapping[InputRequest, Sequence[FeatureChoice]]
    ) -> Iterator[tuple[TrialResources, int]]:
        """A Ray cluster with extracted image features, on which baselines are trained alongside the trials.

        Args:
            trials: The number of trials to run.
            needed: The features that they need.

        Yields:
            The resources of each trial, and how many trials run at the same time.
        """
        features = join_features(needed, self.inputs)
        self.session.prepare(Needs(features=features, baselines=self._datasets_without_sasrec()), max(1, trials))
        cluster, resources = self.session.divide(max(1, trials))
        yield resources, resources.at_once(cluster)
        self.session.finish()

    @property
    def lacks_baselines(self) -> bool:
        """Does a baseline still have to be trained?"""
        return bool(self._datasets_without_sasrec())

    def _datasets_without_sasrec(self) -> list[tuple[Dataset, TrialConfig]]:
        return datasets_without_sasrec(self.options.baselines, list(self._questions().values()), self.home)

    def _questions(self) -> dict[str, tuple[Dataset, TrialConfig]]:
        """The opened dataset and the config that determines its test questions, by dataset as requested."""
        return questions(self.examples, self.inputs)

    @contextlib.contextmanager
    def observe(self, describe: Describe, trials: int) -> Iterator[TrialObserver]:
        """An observer of the trials, with progress bars."""
        tracker, measured = self.recording.tracker, None
        if self.options.system_metrics:
            from vip5platform.tracking.system_metrics import SystemMetrics  # late, as the tracker

            measured = SystemMetrics(tracker.uri)
        with self.timeline.measure("trials"), EventQueue(lambda: tracker.missed) as events, bars() as progress:
            shown = TrialProgress(progress, lambda spec: describe(spec)[0], trials)
            yield TrialObserver(tracker, describe, shown, events, measured)

    def catch_up(self, specs: Sequence[TrialSpec], observer: TrialObserver) -> None:
        """Record what the tracking server missed while it was unreachable, if it is back."""
        tracker = self.recording.tracker
        if tracker.missed:
            with self.timeline.measure("tracking"), stage("waiting for MLflow"):
                tracker.wait_for_answer()
            for spec in specs:
                if not spec.is_finished(self.home):
                    observer.catch_up(spec)
        self.record_finished(specs, observer.describe)

    def publish(
        self,
        workload: Workload,
        factors: Sequence[str],
        metrics: Sequence[str],
        failures: Mapping[str, Failure],
        resources: TrialResources | None,
    ) -> None:
        """Write the record and the report, print the answer, and record both in MLflow.

        Args:
            workload: The trials.
            factors: The names of the factors.
            metrics: The metrics that answer the question.
            failures: The failures of this run, by fingerprint.
            resources: The resources of each trial; None if no trial was run this time.
        """
        record = self._record(factors, metrics, workload.to_records(failures), resources)
        with self.timeline.measure("report"), stage("report"):
            record.save(self.home)
            results = load_results(record, self.home)
            content = content_of(results)
            files = update_report(results, self.home, content)
            self.home.publish(record.folder(self.home))
        show(results, console)
        say(f"[dim]{duration(self.timeline.total)}: {describe_stages(self.timeline.seconds)}[/]")
        for file in files:
            say(f"  {escape(short_path(file))}")
        told = note(results, artifact_address(self.recording.parent, PLOT))
        content = fingerprint(content, self.recording.name, self.recording.tags, told)
        if not self.recording.has_content(content):
            recorded = self.recording.is_open  # by this run, or tried: a server that is down costs a minute each time
            tracker = self.recording.tracker
            if not recorded:
                self.record_finished(workload.specs(), workload.describe)
            with tracker.recording():
                tracker.close(
                    succeeded=bool(results.trial_results()),
                    note=told,
                    tags={"vip5.answer": answer(results)[:5000]},
                    files=[*files, record.file(self.home)],
                    metrics=summary(results),
                    view=self._view(factors, metrics),
                    content=content,
                )
        if not self.recording.uri.startswith("http"):
            say(f"Compare the runs: [bold]{escape(ui_command(self.recording.uri))}[/], then open")
        say(f"[bold]{escape(view_link(record.tracking_uri, record.experiment, record.parent))}[/]")

    def _view(self, factors: Sequence[str], metrics: Sequence[str]) -> tuple[str, str]:
        """The tag that holds MLflow's view of the study."""
        tags = self.recording.tags
        return view_tag(
            f"{tags['vip5.study']} · {tags['vip5.dataset']}",
            self.recording.parent,
            factors,
            [*metrics, "cost/seconds"],
            is_search=isinstance(self.declared, Search),
        )

    def _record(
        self,
        factors: Sequence[str],
        metrics: Sequence[str],
        trials: Sequence[RecordedTrial],
        resources: TrialResources | None,
    ) -> StudyRecord:
        commit, dirty = git_state(_ROOT)
        given = resources or _load_last_resources(self.home, self.declared.name, self.key)
        settings = common_settings(self.declared, self.options, self.options.backbone_name)
        return StudyRecord(
            kind="study" if isinstance(self.declared, Study) else "search",
            name=self.declared.name,
            question=self.declared.question,
            key=self.key,
            factors=list(factors),
            metrics=list(metrics),
            settings={key: as_text(value) for key, value in sorted(settings.items())},
            trials=list(trials),
            baselines=list(self.options.baselines),
            command=_command(),
            commit=commit,
            dirty=dirty,
            workers=given.workers,
            gpus=given.gpus,
            cpus=given.cpus,
            seconds={name: round(seconds, 1) for name, seconds in self.timeline.seconds.items()},
            parent=self.recording.parent,
            experiment=self.recording.experiment,
            tracking_uri=self.recording.uri,
            sasrec=sasrec_folders(self.options.baselines, self._questions(), self.home),
        )


@contextlib.contextmanager
def open_study_run(
    declared: Study | Search,
    inputs: Mapping[InputRequest, PreparedInputs],
    examples: Mapping[InputRequest, TrialConfig],
    session: Session,
) -> Iterator[StudyRun]:
    """The run of a study, with exclusive access to its records; recorded as killed if it is interrupted.

    The arguments are the attributes of `StudyRun`.

    Raises:
        UserError: If the same study is already running, or MLflow cannot be reached.
    """
    options, home = session.options, session.home
    key = study_key(declared, options, home, inputs)
    folder = home.report(declared.name, key)
    if not folder.is_dir():  # otherwise its lock may be held
        home.fetch(folder)
    writable_folder(folder, "report folder")
    home.remove_leftovers()
    remove_leftovers(folder)
    # Two processes running one study would train its trials twice.
    running = f"{folder.name}: this study is already running; wait until it ends, or stop it"
    with home.exclusive(folder, running, say):
        with session.timeline.measure("tracking"):
            names = ", ".join(dict.fromkeys(prepared.dataset.name for prepared in inputs.values()))
            commit, dirty = git_state(_ROOT)
            tags = {
                "vip5.study": declared.name,
                "vip5.question": declared.question,
                "vip5.dataset": names,
                "vip5.git_commit": commit,
                "vip5.git_state": {True: "dirty", False: "clean", None: "copied"}[dirty] if commit else "none",
                "vip5.code": code_version(),
            }
            uri = options.tracking_uri or default_uri(home)
            recording = Recording(uri, home, f"{declared.question} · {names}", key, tags)
        try:
            yield StudyRun(declared, inputs, examples, key, recording, session)
        except BaseException as error:
            recording.mark_killed()
            # Libraries fail on a full disk with various errors; Tune fails to read an error that it could not write.
            full = shutil.disk_usage(home.root).free < _DISK_FULL_BELOW
            if full and isinstance(error, Exception) and not isinstance(error, DiskFullError):
                raise DiskFullError(
                    f"{str(home)!r}: the disk is full; free some space and run the same command again to continue"
                ) from error
            raise


def _load_last_resources(home: Home, name: str, key: str) -> TrialResources:
    """The resources that the trials of a study had in an earlier run, because none is run now."""
    try:
        before = load_record(home.report(name, key))
    except UserError:
        return TrialResources(1, 1, 0.0)
    return TrialResources(before.workers, before.cpus, before.gpus)


def _command() -> str:
    """The command that runs this study again."""
    if Path(sys.argv[0]).name in ("vip5", "__main__.py"):  # the same command, as a program and as a module
        return shlex.join(["vip5", *sys.argv[1:]])
    return shlex.join([Path(sys.executable).name, *sys.argv])
