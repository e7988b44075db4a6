"""What a study was: all that a report of it needs to know beside the trials' own folders."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from vip5core.errors import Failure, UserError, first_line, unknown_name
from vip5core.home import Home
from vip5core.storage import atomic_file

RECORD = "study.json"


#: A trial that its study did not come to.
NOT_RUN = Failure(kind="not_run", message="not run")


class RecordedTrial(BaseModel):
    """One trial of a study.

    Attributes:
        cell: its levels, by factor; empty for a search.
        seed: which repetition.
        group: the dataset as it was asked for: trials of one group answered the same questions.
        dataset: its folder; empty if the inputs could not be prepared.
        fingerprint: the trial's; empty likewise.
        failure: why there is no result, where there is none.
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
        return ", ".join(self.cell.values())


class StudyRecord(BaseModel):
    """A study or a search as it was run, in `reports/<name>-<key>/study.json`.

    Attributes:
        kind: which of the two.
        key: the identity of the question, data, settings and code.
        factors: their names.
        metrics: what answers the question; of a search, its objectives.
        settings: of all trials, what differs from the defaults, as text.
        trials: in the declaration's order.
        baselines: what stands beside the levels.
        command: that ran it, as one would type it.
        commit, dirty: of the checkout, if there was one.
        seconds: by stage, of the last run.
        workers: of each trial.
        gpus, cpus: of each worker.
        parent: the MLflow run.
        tracking_uri: where that is.
        sasrec: by group, the folder of its SASRec in `baselines/`; later code would look for another.
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
    dirty: bool
    workers: int
    gpus: float
    cpus: float
    seconds: dict[str, float] = {}
    parent: str = ""
    tracking_uri: str = ""
    sasrec: dict[str, str] = {}

    def folder(self, home: Home) -> Path:
        return home.report(self.name, self.key)

    def file(self, home: Home) -> Path:
        return self.folder(home) / RECORD

    def save(self, home: Home) -> None:
        with atomic_file(self.file(home)) as aside:
            aside.write_text(self.model_dump_json(indent=1), "utf-8")


def load_record(folder: Path) -> StudyRecord:
    """Raises: UserError if `folder` holds no study."""
    try:
        return StudyRecord.model_validate_json((folder / RECORD).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise UserError(
            f"{str(folder)!r} holds no study that can be read ({first_line(error)}): run the study again"
        ) from None


def find_record(name: str, home: Home) -> StudyRecord:
    """The study that was run last under this name, or the one in this folder.

    Args:
        name: of a study (`reduction-ablation`), of its report's folder, or that folder.

    Raises:
        UserError: if there is none.
    """
    if (Path(name) / RECORD).is_file():
        return load_record(Path(name))
    files = sorted(home.reports.glob(f"*/{RECORD}"), key=lambda file: file.stat().st_mtime)
    if not files:
        raise UserError(f"study {name!r}: {str(home.reports)!r} holds none: run a study first, or name its --home")
    names = {file.parent.name.rpartition("-")[0]: file.parent for file in files}  # the last wins
    found = names.get(name) or {file.parent.name: file.parent for file in files}.get(name)
    if found is None:
        raise unknown_name("study", name, names)
    return load_record(found)


def git_state(folder: Path) -> tuple[str, bool]:
    """The commit that is checked out in `folder` and whether anything was changed since; ("", False) without git."""
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=folder, capture_output=True, text=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return "", False
    return commit, bool(status.strip())
