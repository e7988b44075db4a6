"""MLflow tracking: a parent run per study and a child run per trial, written by the driver only.

The P5 stage of a backbone is a child run of the study that trained it; studies that share the backbone do not record it
again. Runs are found again by tags, so that nothing is logged twice: the parent by the key of the study, a child by the
fingerprint of its trial within the parent, a stage by its name. Whatever could not be recorded while the server was
unreachable is recorded by the next call, because each call first reads what the run already has.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunStatus, RunTag
from mlflow.entities.lifecycle_stage import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

from vip5core.backbones import backbone_fingerprint
from vip5core.config import TrialConfig
from vip5core.errors import Failure, UserError, first_line
from vip5core.home import Home
from vip5core.storage import machine_name, process_alive
from vip5core.trial.p5_record import P5Record
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.result import TrialRecord, TrialResult
from vip5core.trial.spec import TrialSpec
from vip5platform.console import warn
from vip5platform.tracking.recorded import COMPLETE, CONTENT, FINGERPRINT, LEVEL, P5_STAGE, SEED, STUDY_KEY

EXPERIMENT = "vip5"
_DRIVER = "vip5.driver"  # host and process that write the parent run
_OUTCOME = "vip5.outcome"
_FAILURE, _FAILURE_KIND = "vip5.failure", "vip5.failure_kind"
_BACKBONE, _P5_STAGES = "vip5.backbone_fingerprint", "vip5.p5_stages"
_EPOCH = "epoch"
#: Seconds in which a server that is well answers a request, and in which one that died is up again.
_QUICK_S, _RESTART_S = 10, 60
_SOURCE = {MLFLOW_SOURCE_NAME: Path(sys.argv[0]).name, MLFLOW_SOURCE_TYPE: "LOCAL"}
_RUNNING, _FINISHED, _FAILED, _KILLED = (
    RunStatus.to_string(status)
    for status in (RunStatus.RUNNING, RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)
)


def fingerprint_of_run(run: str, uri: str) -> str | None:
    """The fingerprint of the trial that an MLflow run records; None if there is no such run."""
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        return None  # a query would create it
    try:
        with _fail_fast():
            return MlflowClient(tracking_uri=uri).get_run(run).data.tags.get(FINGERPRINT)
    except MlflowException:
        return None


def run_of_trial(fingerprint: str, uri: str) -> str | None:
    """The id of the latest MLflow run that records a finished trial; None if there is none."""
    where = f"tags.`{FINGERPRINT}` = '{fingerprint}' and tags.`{COMPLETE}` = '1'"
    try:
        with _fail_fast():
            client = MlflowClient(tracking_uri=uri)
            known = client.get_experiment_by_name(EXPERIMENT)
            found = client.search_runs([known.experiment_id], where, max_results=1) if known is not None else []
    except MlflowException as error:
        raise UserError(f"--tracking-uri {uri!r}: no MLflow there ({first_line(error, 200)})") from None
    return str(found[0].info.run_id) if found else None


def make_database(uri: str) -> None:
    """Make the tables of a new MLflow database, which takes seconds; for other servers nothing is done."""
    if uri.startswith("sqlite:"):
        silence_mlflow()
        with suppress(Exception):  # what is wrong is told when the tracker opens it
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


class Tracker:
    """The MLflow runs of one study.

    Args:
        uri: The tracking server or database.
        home: The folder for artifacts if there is no server.
        name: The name of the parent run.
        key: The identity of the study; the same key finds the same parent run.
        tags: Tags of the parent run and its children.

    Raises:
        UserError: If there is no MLflow at `uri`.
    """

    def __init__(self, uri: str, home: Home, name: str, key: str, tags: Mapping[str, str]) -> None:
        self.uri = uri
        silence_mlflow()
        self.tags = dict(tags)
        self.children: dict[str, str] = {}  # fingerprint -> run id
        self._logged: dict[str, set[int]] = {}  # run id -> logged epochs
        self._complete: set[str] = set()  # fingerprints of trials, and names of stages, that are recorded completely
        self.missed = False
        try:
            with _fail_fast():
                self.client = MlflowClient(tracking_uri=uri)
                self.experiment = self._experiment(home)
                self._close_orphaned_runs()
            driver = f"{machine_name()}:{os.getpid()}"
            self.parent = self._run(f"tags.`{STUDY_KEY}` = '{key}'", name, {STUDY_KEY: key, **tags, _DRIVER: driver})
        except Exception as error:
            raise UserError(
                f"--tracking-uri {uri!r}: no MLflow there ({first_line(error, 200)}); start one, or omit the option"
            ) from None

    @contextmanager
    def recording(self, patiently: bool = True) -> Iterator[None]:
        """Tolerate an unreachable MLflow in this block: set `missed`, and warn once.

        Args:
            patiently: Try for minutes; without effect once something was missed, after which each block tries once.
        """
        try:
            with nullcontext() if patiently and not self.missed else _fail_fast(retries=0 if self.missed else 1):
                yield
        except MlflowException as error:
            if not self.missed:
                warn(
                    f"MLflow is unreachable ({first_line(error, 120)}); what it misses is recorded at the end or when "
                    "the same command is run again"
                )
            self.missed = True

    def wait_for_answer(self) -> None:
        """Wait up to a minute for an MLflow that was missed; `missed` says afterwards whether it still is."""
        until = time.monotonic() + _RESTART_S
        while self.missed and time.monotonic() < until:
            try:
                with _fail_fast(retries=0):
                    self.client.get_run(self.parent)
                self.missed = False
            except MlflowException:
                time.sleep(1)

    def _experiment(self, home: Home) -> str:
        known = self.client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            if known.lifecycle_stage == LifecycleStage.DELETED:  # deleted in the UI
                self.client.restore_experiment(known.experiment_id)
            return str(known.experiment_id)
        where = None if self.uri.startswith("http") else home.mlflow_artifacts.as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}  # makes the UI open on runs rather than traces
        return self.client.create_experiment(EXPERIMENT, artifact_location=where, tags=tags)

    def _close_orphaned_runs(self) -> None:
        """End the runs of killed drivers of this machine, which are left in state RUNNING."""
        for parent in self._search(f"attributes.status = '{_RUNNING}' and tags.`{STUDY_KEY}` LIKE '%'"):
            host, _, process = parent.data.tags.get(_DRIVER, "").partition(":")
            if host == machine_name() and process.isdigit() and not process_alive(int(process)):
                children = (
                    f"attributes.status = '{_RUNNING}' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}'"
                )
                for run in [*self._search(children), parent]:
                    self.client.set_terminated(run.info.run_id, _KILLED)

    def _search(self, where: str) -> list[Run]:
        return list(self.client.search_runs([self.experiment], where, max_results=1000, order_by=["start_time ASC"]))

    def _run(self, found_by: str, name: str, tags: Mapping[str, str]) -> str:
        """The run that `found_by` finds, set to running again, or a new one."""
        known = self._search(found_by)
        for double in known[1:]:  # duplicates, made when the server's response was lost
            self.client.delete_run(double.info.run_id)
        if known:
            run = known[0]
            self.client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            if COMPLETE not in run.data.tags:
                self.client.update_run(run.info.run_id, status=_RUNNING, name=name)
        else:
            run = self.client.create_run(self.experiment, tags={**tags, **_SOURCE, MLFLOW_RUN_NAME: name})
        return str(run.info.run_id)

    def _child(self, fingerprint: str) -> str:
        return f"tags.`{FINGERPRINT}` = '{fingerprint}' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}'"

    def open(self, spec: TrialSpec, label: str, cell: Mapping[str, str]) -> None:
        """Open the child run of a trial and log its parameters."""
        if spec.fingerprint in self.children:
            return
        tags = {
            **self.tags,
            MLFLOW_PARENT_RUN_ID: self.parent,
            FINGERPRINT: spec.fingerprint,
            SEED: str(spec.config.seed),
            **{f"{LEVEL}{factor}": level for factor, level in cell.items()},
        }
        run = self._run(self._child(spec.fingerprint), label, tags)
        self.client.log_batch(run, params=_params(spec.config))
        self.children[spec.fingerprint] = run

    def epochs(self, spec: TrialSpec, history: list[Mapping[str, float]]) -> None:
        """Log the epochs of a trial that its run does not have yet."""
        self._log_epochs(self.children[spec.fingerprint], history)

    def _log_epochs(self, run: str, history: Sequence[Mapping[str, float]]) -> None:
        known = self._logged.get(run)
        if known is None:
            known = {int(point.value) for point in self.client.get_metric_history(run, _EPOCH)}
        missing = [metrics for metrics in history if int(metrics[_EPOCH]) not in known]
        # Until the call succeeds, the logged epochs are unknown; if it fails, the next call reads them.
        self._logged.pop(run, None)
        for metrics in missing:
            # `epoch` comes last in the batch: a run that has it has the rest.
            ordered = {**{name: value for name, value in metrics.items() if name != _EPOCH}, _EPOCH: metrics[_EPOCH]}
            self.client.log_batch(run, metrics=_metrics(ordered, int(metrics[_EPOCH])))
            known.add(int(metrics[_EPOCH]))
        self._logged[run] = known

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        """Log the metrics, facts and artifacts of a finished trial."""
        if spec.fingerprint not in self._complete:
            self._record_result(spec, result)
            self._complete.add(spec.fingerprint)

    def _record_result(self, spec: TrialSpec, result: TrialResult) -> None:
        run = self.children[spec.fingerprint]
        found = self.client.get_run(run)
        known = found.data
        if COMPLETE in known.tags:
            if found.info.status != _FINISHED:  # interrupted between tag and end
                self.client.set_terminated(run, _FINISHED)
            return
        self.epochs(spec, list(result.history))
        record = result.record
        facts = {
            _BACKBONE: record.backbone.fingerprint if record.backbone else "",
            "vip5.features_fingerprint": str(record.features),
            **_facts(record),
        }
        with _raise_mlflow_errors():
            self.client.log_artifacts(run, str(result.folder))
        final = {
            key: value
            for key, value in result.metrics.items()
            if not key.startswith("valid/") and key not in known.metrics
        }
        self.client.log_batch(run, metrics=_metrics(final, len(result.history)))
        for tag in (_FAILURE, _FAILURE_KIND):  # of an earlier attempt
            if tag in known.tags:
                self.client.delete_tag(run, tag)
        for of in (run, self.parent):
            self._log_dataset(of, record, spec.dataset)
        self._end(run, _FINISHED, "finished", {**facts, COMPLETE: "1"})

    def _log_dataset(self, run: str, record: TrialRecord, folder: Path) -> None:
        """Name the dataset of a run in MLflow's own way, for its column; to do it again changes nothing."""
        content = record.dataset
        source = json.dumps({"uri": folder.as_uri()})
        dataset = DatasetEntity(content.name, content.fingerprint, "local", source)
        self.client.log_inputs(run, [DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])])

    def stages(self, stages: Iterable[P5Stage]) -> None:
        """Record finished P5 stages that no study has recorded, and name all of them on the run of this study."""
        new = {stage.name: stage for stage in stages if stage.name not in self._complete}
        if not new:
            return
        self.client.set_tag(self.parent, _P5_STAGES, ",".join(sorted(new)))
        for stage in new.values():
            self._record_stage(stage)
            self._complete.add(stage.name)

    def _record_stage(self, stage: P5Stage) -> None:
        found_by = f"tags.`{P5_STAGE}` = '{stage.name}'"
        if self._search(f"{found_by} and tags.`{COMPLETE}` = '1' and attributes.status = '{_FINISHED}'"):
            return
        try:
            result = P5Record.load(stage.folder)
        except UserError as error:  # damaged; its weights may be good all the same
            warn(str(error))
            return
        tags = {**self.tags, MLFLOW_PARENT_RUN_ID: self.parent, P5_STAGE: stage.name}
        run = self._run(found_by, stage.label, tags)
        self.client.log_batch(run, params=_params(result.config))
        self._log_epochs(run, result.history)
        known = self.client.get_run(run).data.metrics
        final = {
            key: value for key, value in result.metrics.items() if not key.startswith("valid/") and key not in known
        }
        self.client.log_batch(run, metrics=_metrics(final, len(result.history)))
        start = result.record.backbone
        facts = {
            _BACKBONE: backbone_fingerprint(stage.folder),
            "vip5.start_fingerprint": start.fingerprint if start else "",
            **_facts(result.record),
        }
        self._log_dataset(run, result.record, stage.dataset.folder)
        self._end(run, _FINISHED, "finished", {**facts, COMPLETE: "1"})

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        """End the run of a failed trial."""
        tags = {_FAILURE: failure.message, _FAILURE_KIND: failure.kind}
        self._end(self.children[spec.fingerprint], _FAILED, "failed", tags)

    def pruned(self, spec: TrialSpec) -> None:
        """End the run of a trial that a search stopped early."""
        self._end(self.children[spec.fingerprint], _KILLED, "pruned", {})

    def _end(self, run: str, status: str, outcome: str, tags: Mapping[str, str]) -> None:
        self.client.log_batch(run, tags=[RunTag(key, value) for key, value in {**tags, _OUTCOME: outcome}.items()])
        self.client.set_terminated(run, status)

    def discard(self, fingerprint: str) -> None:
        """Delete the run of a trial that is to be trained again."""
        for run in self._search(self._child(fingerprint)):
            self.client.delete_run(run.info.run_id)

    def close(
        self,
        *,
        succeeded: bool,
        note: str,
        tags: Mapping[str, str],
        files: list[Path],
        metrics: Mapping[str, float],
        view: tuple[str, str] | None = None,
        content: str = "",
    ) -> None:
        """End the parent run with the results of the study.

        Args:
            succeeded: Whether any trial finished; a study without results has failed.
            note: The description of the parent run as Markdown.
            tags: Further tags of the parent run.
            files: Its artifacts.
            metrics: Its metrics in the table of runs.
            view: The tag of the experiment that holds MLflow's view of the study; see `vip5platform.tracking.ui`.
            content: The identity of all that; a run of the study that would record the same need not open MLflow.
        """
        with _raise_mlflow_errors():
            for file in files:
                self.client.log_artifact(self.parent, str(file))
        self.client.log_batch(
            self.parent, tags=[RunTag(key, value) for key, value in {**tags, MLFLOW_RUN_NOTE: note}.items()]
        )
        known = self.client.get_run(self.parent).data.metrics
        changed = {key: value for key, value in metrics.items() if known.get(key) != value}
        if changed:
            self.client.log_batch(self.parent, metrics=_metrics(changed, 0))
        if view is not None:
            self.client.set_experiment_tag(self.experiment, *view)
        left = f"attributes.status = '{_RUNNING}' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}'"
        for run in self._search(left):  # of an interrupted trial that is no longer part of the study
            self.client.set_terminated(run.info.run_id, _KILLED)
        if content:
            self.client.set_tag(self.parent, CONTENT, content)
        self.client.set_terminated(self.parent, _FINISHED if succeeded else _FAILED)

    def mark_killed(self) -> None:
        """End all running runs as killed, because the study was interrupted."""
        with _fail_fast(retries=0):
            for run in [*self.children.values(), self.parent]:
                try:
                    if self.client.get_run(run).info.status == _RUNNING:
                        self.client.set_terminated(run, _KILLED)
                except MlflowException:
                    return


def silence_mlflow() -> None:
    """Keep MLflow from talking about what goes well."""
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _params(config: TrialConfig) -> list[Param]:
    return [Param(key, str(value)) for key, value in config.model_dump(mode="json").items()]


def _facts(record: TrialRecord) -> dict[str, str]:
    """The tags of the data, the hardware and the software."""
    return {
        "vip5.dataset_fingerprint": record.dataset.fingerprint,
        "vip5.device": record.device,
        "vip5.host": record.host,
        **{f"version.{package}": version for package, version in record.versions.items()},
    }


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, value, now, step) for key, value in values.items()]


@contextmanager
def _raise_mlflow_errors() -> Iterator[None]:
    """Turn any error of an artifact store (a full disk, HTTP, a cloud client) into an MLflow error.

    Raises:
        MlflowException: For any such error.
    """
    try:
        yield
    except MlflowException:
        raise
    except Exception as error:
        raise MlflowException(f"artifacts: {type(error).__name__}: {error}") from error


@contextmanager
def _fail_fast(retries: int = 1) -> Iterator[None]:
    """Limit retries and waits in this block; by default MLflow's client tries for minutes."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries), "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_QUICK_S)}
    before = {name: os.environ.get(name) for name in limits}
    os.environ.update(limits)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
