"""MLflow: a parent run per study, a child run per trial, written by the driver alone.

Runs are found again by tags, so that nothing is logged twice: the parent by the study's key, a child by its trial's
fingerprint within the parent.
"""

from __future__ import annotations

import logging
import os
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

from vip5core.errors import UserError
from vip5core.trial import TrialResult, TrialSpec

EXPERIMENT = "vip5"
_KEY, _FINGERPRINT = "vip5.study_key", "vip5.fingerprint"
_WHOLE = "vip5.whole"  # a run that has all that there is to record
_EPOCH = "epoch"
_SOURCE = {MLFLOW_SOURCE_NAME: Path(sys.argv[0]).name, MLFLOW_SOURCE_TYPE: "LOCAL"}


def default_uri(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


class Tracker:
    """The MLflow runs of one study.

    Args:
        uri: of the tracking server or database.
        home: artifacts go to `home/mlartifacts` when there is no server.
        name: of the study, for the parent run.
        key: the study's identity: the same key finds the same parent.
        tags: of the parent.

    Raises:
        UserError: if there is no MLflow at `uri`.
    """

    def __init__(self, uri: str, home: Path, name: str, key: str, tags: Mapping[str, str]) -> None:
        self.uri = uri
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self.tags = dict(tags)
        self.children: dict[str, str] = {}  # fingerprint -> run id
        self.logged: dict[str, int] = {}  # run id -> last epoch logged
        try:
            with _impatient():
                self.client = MlflowClient(tracking_uri=uri)
                self.experiment = self._experiment(home)
            self.parent = self._run(f"tags.`{_KEY}` = '{key}'", name, {_KEY: key, **tags})
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise UserError(
                f"--tracking-uri {uri!r}: no MLflow there ({reason}): start a server, or leave it out"
            ) from None

    def _experiment(self, home: Path) -> str:
        known = self.client.get_experiment_by_name(EXPERIMENT)
        if known is not None:
            if known.lifecycle_stage == LifecycleStage.DELETED:  # from the UI's bin
                self.client.restore_experiment(known.experiment_id)
            return str(known.experiment_id)
        where = None if self.uri.startswith("http") else (home / "mlartifacts").as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs, not on traces of chats
        return self.client.create_experiment(EXPERIMENT, artifact_location=where, tags=tags)

    def _run(self, found_by: str, name: str, tags: Mapping[str, str]) -> str:
        """The run that `found_by` finds, opened again, or a new one."""
        known = self.client.search_runs([self.experiment], found_by, max_results=1)
        if known:
            run: Run = known[0]
            if _WHOLE not in run.data.tags:
                self.client.update_run(run.info.run_id, status="RUNNING", name=name)
        else:
            run = self.client.create_run(self.experiment, tags={**tags, **_SOURCE, MLFLOW_RUN_NAME: name})
        return str(run.info.run_id)

    def open(self, spec: TrialSpec, label: str, cell: Mapping[str, str]) -> None:
        """The child run of a trial, with its parameters."""
        tags = {
            **self.tags,
            MLFLOW_PARENT_RUN_ID: self.parent,
            _FINGERPRINT: spec.fingerprint,
            **{f"vip5.level.{factor}": level for factor, level in cell.items()},
        }
        known = f"tags.`{_FINGERPRINT}` = '{spec.fingerprint}' and tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.parent}'"
        run = self._run(known, label, tags)
        self.children[spec.fingerprint] = run
        history = self.client.get_metric_history(run, _EPOCH)
        self.logged[run] = max((int(point.value) for point in history), default=0)
        params = [Param(key, str(value)) for key, value in spec.config.model_dump(mode="json").items()]
        self.client.log_batch(run, params=params)

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
        """An epoch's metrics, once."""
        run, step = self.children[spec.fingerprint], int(metrics[_EPOCH])
        if step > self.logged[run]:
            self.client.log_batch(run, metrics=_metrics(metrics, step))
            self.logged[run] = step

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        """All that a finished trial's folder says, and the folder as artifacts."""
        run = self.children[spec.fingerprint]
        known = self.client.get_run(run).data
        if _WHOLE not in known.tags:
            for metrics in result.history:
                self.epoch(spec, metrics)
            record = result.record
            facts = {
                "vip5.dataset_fingerprint": record["dataset"]["fingerprint"],
                "vip5.backbone_fingerprint": record["backbone"]["fingerprint"],
                "vip5.features_fingerprint": str(record["features"]),
                "vip5.device": record["device"],
                **{f"version.{package}": version for package, version in record["versions"].items()},
            }
            self.client.log_artifacts(run, str(result.folder))
            # In one call with the mark, so that a second run neither lacks nor doubles them.
            final = {key: value for key, value in result.metrics.items() if not key.startswith("valid/")}
            self.client.log_batch(
                run,
                metrics=_metrics(final, len(result.history)),
                tags=[RunTag(key, value) for key, value in {**facts, _WHOLE: "1"}.items()],
            )
            self.client.set_terminated(run, RunStatus.to_string(RunStatus.FINISHED))

    def failed(self, spec: TrialSpec, reason: str) -> None:
        run = self.children[spec.fingerprint]
        self.client.set_tag(run, "vip5.failure", reason)
        self.client.set_terminated(run, RunStatus.to_string(RunStatus.FAILED))

    def close(self, *, note: str, tags: Mapping[str, str], files: list[Path], metrics: Mapping[str, float]) -> None:
        """End the parent with what the study came to."""
        for file in files:
            self.client.log_artifact(self.parent, str(file))
        self.client.log_batch(
            self.parent, tags=[RunTag(key, value) for key, value in {**tags, MLFLOW_RUN_NOTE: note}.items()]
        )
        known = self.client.get_run(self.parent).data.metrics
        changed = {key: value for key, value in metrics.items() if known.get(key) != value}
        if changed:
            self.client.log_batch(self.parent, metrics=_metrics(changed, 0))
        self.client.set_terminated(self.parent, RunStatus.to_string(RunStatus.FINISHED))

    def abandon(self) -> None:
        """End whatever still runs: the study was cut off."""
        for run in [*self.children.values(), self.parent]:
            try:
                if self.client.get_run(run).info.status == RunStatus.to_string(RunStatus.RUNNING):
                    self.client.set_terminated(run, RunStatus.to_string(RunStatus.KILLED))
            except MlflowException:
                return


def _metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, value, now, step) for key, value in values.items()]


@contextmanager
def _impatient() -> Iterator[None]:
    """One answer is enough to know that a server is there; by default MLflow's client asks for minutes."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
