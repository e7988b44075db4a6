"""MLflow: a parent run per study, a child run per trial, written by the driver alone.

Runs are found again by tags, so that nothing is logged twice: the parent by the study's key, a child by its trial's
fingerprint within the parent. What a call could not record, because the server was away, the next one does: before
anything is logged to a run, the run is asked what it has.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunStatus, RunTag
from mlflow.entities.lifecycle_stage import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import (
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NAME,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
)

from vip5core.errors import Failure, UserError, first_line
from vip5core.home import Home
from vip5core.storage import process_alive
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import TrialSpec
from vip5platform.console import warn

EXPERIMENT = "vip5"
_KEY, _FINGERPRINT = "vip5.study_key", "vip5.fingerprint"
_COMPLETE = "vip5.complete"  # a run that has all that there is to record
_DRIVER = "vip5.driver"  # host and process that writes a parent
_OUTCOME = "vip5.outcome"
_FAILURE, _FAILURE_KIND = "vip5.failure", "vip5.failure_kind"
_EPOCH = "epoch"
_SOURCE = {MLFLOW_SOURCE_NAME: Path(sys.argv[0]).name, MLFLOW_SOURCE_TYPE: "LOCAL"}
_RUNNING, _FINISHED, _FAILED, _KILLED = (
    RunStatus.to_string(status)
    for status in (RunStatus.RUNNING, RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)
)


def default_uri(home: Home) -> str:
    return f"sqlite:///{home.mlflow_database}"


def fingerprint_of_run(run: str, uri: str) -> str | None:
    """The trial that an MLflow run records; None if there is no such run."""
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        return None  # asking would create it
    try:
        with _fail_fast():
            return MlflowClient(tracking_uri=uri).get_run(run).data.tags.get(_FINGERPRINT)
    except MlflowException:
        return None


class Tracker:
    """The MLflow runs of one study.

    Args:
        uri: of the tracking server or database.
        home: artifacts go there when there is no server.
        name: of the parent run.
        key: the study's identity: the same key finds the same parent.
        tags: of the parent and its children.

    Raises:
        UserError: if there is no MLflow at `uri`.
    """

    def __init__(self, uri: str, home: Home, name: str, key: str, tags: Mapping[str, str]) -> None:
        self.uri = uri
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self.tags = dict(tags)
        self.children: dict[str, str] = {}  # fingerprint -> run id
        self._logged: dict[str, set[int]] = {}  # run id -> epochs that it has
        self._complete: set[str] = set()  # fingerprints of trials whose runs have everything
        self.missed = False
        try:
            with _fail_fast():
                self.client = MlflowClient(tracking_uri=uri)
                self.experiment = self._experiment(home)
                self._close_orphaned_runs()
            driver = f"{socket.gethostname()}:{os.getpid()}"
            self.parent = self._run(f"tags.`{_KEY}` = '{key}'", name, {_KEY: key, **tags, _DRIVER: driver})
        except Exception as error:
            raise UserError(
                f"--tracking-uri {uri!r}: no MLflow there ({first_line(error, 200)}): start a server, or leave it out"
            ) from None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Let a block go without MLflow where it does not answer; that is noted in `missed`, and warned of once."""
        try:
            yield
        except MlflowException as error:
            if not self.missed:
                warn(
                    f"MLflow does not answer ({first_line(error, 120)}): what it misses is recorded at the end, or "
                    "when the same command is run again"
                )
            self.missed = True

    def _experiment(self, home: Home) -> str:
        known = self.client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            if known.lifecycle_stage == LifecycleStage.DELETED:  # from the UI's bin
                self.client.restore_experiment(known.experiment_id)
            return str(known.experiment_id)
        where = None if self.uri.startswith("http") else home.mlflow_artifacts.as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs, not on traces of chats
        return self.client.create_experiment(EXPERIMENT, artifact_location=where, tags=tags)

    def _close_orphaned_runs(self) -> None:
        """End the runs of drivers of this machine that are no more: a killed process leaves its runs RUNNING."""
        for parent in self._search(f"attributes.status = '{_RUNNING}' and tags.`{_KEY}` LIKE '%'"):
            host, _, process = parent.data.tags.get(_DRIVER, "").partition(":")
            if host == socket.gethostname() and process.isdigit() and not process_alive(int(process)):
                children = (
                    f"attributes.status = '{_RUNNING}' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}'"
                )
                for run in [*self._search(children), parent]:
                    self.client.set_terminated(run.info.run_id, _KILLED)

    def _search(self, where: str) -> list[Run]:
        return list(self.client.search_runs([self.experiment], where, max_results=1000, order_by=["start_time ASC"]))

    def _run(self, found_by: str, name: str, tags: Mapping[str, str]) -> str:
        """The run that `found_by` finds, open_study_run again, or a new one."""
        known = self._search(found_by)
        for double in known[1:]:  # of a server whose answer to the first creation was lost
            self.client.delete_run(double.info.run_id)
        if known:
            run = known[0]
            self.client.log_batch(run.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
            if _COMPLETE not in run.data.tags:
                self.client.update_run(run.info.run_id, status=_RUNNING, name=name)
        else:
            run = self.client.create_run(self.experiment, tags={**tags, **_SOURCE, MLFLOW_RUN_NAME: name})
        return str(run.info.run_id)

    def _child(self, fingerprint: str) -> str:
        return f"tags.`{_FINGERPRINT}` = '{fingerprint}' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}'"

    def open(self, spec: TrialSpec, label: str, cell: Mapping[str, str]) -> None:
        """The child run of a trial, with its parameters."""
        if spec.fingerprint in self.children:
            return
        tags = {
            **self.tags,
            MLFLOW_PARENT_RUN_ID: self.parent,
            _FINGERPRINT: spec.fingerprint,
            "vip5.seed": str(spec.config.seed),
            **{f"vip5.level.{factor}": level for factor, level in cell.items()},
        }
        run = self._run(self._child(spec.fingerprint), label, tags)
        params = [Param(key, str(value)) for key, value in spec.config.model_dump(mode="json").items()]
        self.client.log_batch(run, params=params)
        self.children[spec.fingerprint] = run

    def epochs(self, spec: TrialSpec, history: list[Mapping[str, float]]) -> None:
        """Those of a trial's epochs that its run does not have yet, each once."""
        run = self.children[spec.fingerprint]
        known = self._logged.get(run)
        if known is None:
            known = {int(point.value) for point in self.client.get_metric_history(run, _EPOCH)}
        missing = [metrics for metrics in history if int(metrics[_EPOCH]) not in known]
        # While a call is under way nobody knows what the run has; if it fails, the next one asks.
        self._logged.pop(run, None)
        for metrics in missing:
            # `epoch` comes last in the batch: a run that has it has the rest.
            ordered = {**{name: value for name, value in metrics.items() if name != _EPOCH}, _EPOCH: metrics[_EPOCH]}
            self.client.log_batch(run, metrics=_metrics(ordered, int(metrics[_EPOCH])))
            known.add(int(metrics[_EPOCH]))
        self._logged[run] = known

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        """All that a finished trial's folder says, and the folder as artifacts."""
        if spec.fingerprint not in self._complete:
            self._record_result(spec, result)
            self._complete.add(spec.fingerprint)

    def _record_result(self, spec: TrialSpec, result: TrialResult) -> None:
        run = self.children[spec.fingerprint]
        found = self.client.get_run(run)
        known = found.data
        if _COMPLETE in known.tags:
            if found.info.status != _FINISHED:  # cut off between the mark and the end
                self.client.set_terminated(run, _FINISHED)
            return
        self.epochs(spec, list(result.history))
        record = result.record
        facts = {
            "vip5.dataset_fingerprint": record.dataset.fingerprint,
            "vip5.backbone_fingerprint": record.backbone.fingerprint if record.backbone else "",
            "vip5.features_fingerprint": str(record.features),
            "vip5.device": record.device,
            **{f"version.{package}": version for package, version in record.versions.items()},
        }
        with _artifacts():
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
        self._end(run, _FINISHED, "finished", {**facts, _COMPLETE: "1"})

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        tags = {_FAILURE: failure.message, _FAILURE_KIND: failure.kind}
        self._end(self.children[spec.fingerprint], _FAILED, "failed", tags)

    def pruned(self, spec: TrialSpec) -> None:
        """A trial that a search stopped early."""
        self._end(self.children[spec.fingerprint], _KILLED, "pruned", {})

    def _end(self, run: str, status: str, outcome: str, tags: Mapping[str, str]) -> None:
        self.client.log_batch(run, tags=[RunTag(key, value) for key, value in {**tags, _OUTCOME: outcome}.items()])
        self.client.set_terminated(run, status)

    def discard(self, fingerprint: str) -> None:
        """Put the run of a trial that is to be trained anew into MLflow's bin."""
        for run in self._search(self._child(fingerprint)):
            self.client.delete_run(run.info.run_id)

    def close(
        self, *, succeeded: bool, note: str, tags: Mapping[str, str], files: list[Path], metrics: Mapping[str, float]
    ) -> None:
        """End the parent with what the study came to.

        Args:
            succeeded: whether any trial finished; a study without a result has failed.
            note: the parent's description, as Markdown.
            tags: more tags of the parent.
            files: its artifacts.
            metrics: its figures in the runs table.
        """
        with _artifacts():
            for file in files:
                self.client.log_artifact(self.parent, str(file))
        self.client.log_batch(
            self.parent, tags=[RunTag(key, value) for key, value in {**tags, MLFLOW_RUN_NOTE: note}.items()]
        )
        known = self.client.get_run(self.parent).data.metrics
        changed = {key: value for key, value in metrics.items() if known.get(key) != value}
        if changed:
            self.client.log_batch(self.parent, metrics=_metrics(changed, 0))
        left = f"attributes.status = '{_RUNNING}' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}'"
        for run in self._search(left):  # of a trial that was cut off once and is no part of the study any more
            self.client.set_terminated(run.info.run_id, _KILLED)
        self.client.set_terminated(self.parent, _FINISHED if succeeded else _FAILED)

    def mark_killed(self) -> None:
        """End whatever still runs: the study was cut off."""
        with _fail_fast():
            for run in [*self.children.values(), self.parent]:
                try:
                    if self.client.get_run(run).info.status == _RUNNING:
                        self.client.set_terminated(run, _KILLED)
                except MlflowException:
                    return


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, value, now, step) for key, value in values.items()]


@contextmanager
def _artifacts() -> Iterator[None]:
    """Stores of artifacts fail in ways of their own: a full disk, a refusal by HTTP, a cloud's client.

    Raises:
        MlflowException: whatever it was.
    """
    try:
        yield
    except MlflowException:
        raise
    except Exception as error:
        raise MlflowException(f"artifacts: {type(error).__name__}: {error}") from error


@contextmanager
def _fail_fast() -> Iterator[None]:
    """One answer is enough to know that a server is there; by default MLflow's client asks for a minute."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
