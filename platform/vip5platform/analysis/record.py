"""The record of a study: all that its report needs in addition to the folders of its trials."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vip5core.errors import Failure, UserError, first_line, unknown_name
from vip5core.home import Home
from vip5core.storage import atomic_file

RECORD = "study.json"
#: Names the commit of a copy of the checkout.
HEAD_LOG = "git-head.log"

#: The failure of a trial that its study has not run.
NOT_RUN = Failure(kind="not_run", message="not run")


class RecordedTrial(BaseModel):
    """One trial of a study.

    Attributes:
        cell: The level of each factor, or the value of each searched setting.
        seed: The seed of the trial.
        group: The dataset as it was requested; trials of one group have the same test questions.
        dataset: The folder of the dataset; empty if the inputs could not be prepared.
        fingerprint: The fingerprint of the trial; empty if the inputs could not be prepared.
        failure: Why there is no result, if there is none.
    """

    model_config = ConfigDict(extra="forbid")

    cell: dict[str, str]
    seed: int
    group: str
    dataset: str = ""
    fingerprint: str = ""
    failure: Failure | None = None

    @property
    def name(self) -> str:
        """The name of the cell."""
        return ", ".join(self.cell.values())


class StudyRecord(BaseModel):
    """The record of a study or search in `reports/<name>-<key>/study.json`.

    Attributes:
        kind: Whether it is a study or a search.
        name: The name of the declaration.
        question: The question of the declaration.
        key: The identity of the question, data, settings and code.
        factors: The names of the factors, or of the searched settings.
        metrics: The metrics that answer the question; the objectives of a search.
        settings: The settings of all trials of the preset, the study and the user, as text.
        trials: The trials in the order of the declaration.
        baselines: The baselines that the levels are compared with.
        command: The command that ran it.
        commit: The Git commit of the checkout; empty without one.
        dirty: Whether the checkout had uncommitted changes; None if that is unknown, because it is a copy.
        workers: The number of workers of each trial.
        gpus: The GPUs of each worker.
        cpus: The CPUs of each worker.
        seconds: The seconds of the last run, by stage.
        parent: The id of the parent run in MLflow.
        experiment: The id of MLflow's experiment.
        tracking_uri: The MLflow server or database.
        sasrec: The folder of SASRec in `baselines/`, by dataset as requested; other code versions have other folders.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["study", "search"]
    name: str
    question: str
    key: str
    factors: list[str]
    metrics: list[str]
    settings: dict[str, str]
    trials: list[RecordedTrial]
    baselines: list[str]
    command: str
    commit: str
    dirty: bool | None
    workers: int
    gpus: float
    cpus: float
    seconds: dict[str, float] = {}
    parent: str = ""
    experiment: str = ""
    tracking_uri: str = ""
    sasrec: dict[str, str] = {}

    def folder(self, home: Home) -> Path:
        return home.report(self.name, self.key)

    def file(self, home: Home) -> Path:
        return self.folder(home) / RECORD

    def save(self, home: Home) -> None:
        with atomic_file(self.file(home)) as file:
            file.write_text(self.model_dump_json(indent=1), "utf-8")


def load_record(folder: Path) -> StudyRecord:
    """The record in a report's folder.

    Raises:
        UserError: If there is none that can be read.
    """
    try:
        return StudyRecord.model_validate_json((folder / RECORD).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise UserError(
            f"{str(folder)!r}: no readable study record ({first_line(error)}); run the study again"
        ) from None


def find_record(name: str, home: Home) -> StudyRecord:
    """The latest study of this name, or the one in this folder.

    Args:
        name: The name of a study (`reduction-ablation`), the name of its report's folder, or the path of that folder.
        home: The home that reports are searched in.

    Raises:
        UserError: If there is none.
    """
    if (Path(name) / RECORD).is_file():
        return load_record(Path(name))
    files = sorted(home.fetch_all(home.reports).glob(f"*/{RECORD}"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UserError(f"study {name!r}: no study in {str(home)!r}; run one first, or give its --home")
    names = {file.parent.name.rpartition("-")[0]: file.parent for file in files}  # the latest wins
    found = names.get(name) or {file.parent.name: file.parent for file in files}.get(name)
    if found is None:
        raise unknown_name("study", name, names)
    return load_record(found)


def _copied_commit(log: Path) -> tuple[str, bool | None]:
    """The commit that a log of Git's HEAD ends with; it does not say what was uncommitted."""
    last = log.read_text("utf-8").splitlines()[-1:] if log.is_file() else []
    commit = re.match(r"[0-9a-f]{40} ([0-9a-f]{40}) ", last[0]) if last else None
    return (commit[1], None) if commit else ("", False)


def git_state(folder: Path) -> tuple[str, bool | None]:
    """The commit of the Git checkout in `folder`, and whether it has uncommitted changes; ("", False) without one.

    The nodes of a cluster have no checkout, but a copy of the log of its HEAD: of that, the changes are unknown (None).
    An installed package has neither, even if its environment lies in the checkout of another project.
    """
    if not (folder / ".git").exists():
        return _copied_commit(folder / HEAD_LOG)
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return _copied_commit(folder / HEAD_LOG)
    return commit, bool(status.strip())
