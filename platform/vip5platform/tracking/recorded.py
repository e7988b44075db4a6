"""What MLflow's database in a home knows of a study, read without MLflow: importing it takes seconds.

Only one question is asked of the tables themselves, and nothing is written: is the study recorded already? Where the
answer is no clear yes (another kind of server, other tables, an unfinished run), `vip5platform.tracking.tracker` looks
closer.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from vip5core.home import Home

#: Tags of runs: what finds a study, a trial and a P5 stage, and what says that they are recorded completely.
STUDY_KEY, FINGERPRINT, P5_STAGE = "vip5.study_key", "vip5.fingerprint", "vip5.p5_stage"
#: On the run of a trial or stage once everything is recorded, and on the run of a study with the identity of what was
#: recorded.
COMPLETE, CONTENT = "vip5.complete", "vip5.content"
#: On the run of a trial: its seed, and before the name of a factor, its level.
SEED, LEVEL = "vip5.seed", "vip5.level."

#: What the URI of a database begins with.
DATABASE = "sqlite:///"

_PARENTS = """
SELECT runs.run_uuid, runs.experiment_id, runs.status, content.value FROM runs
JOIN tags AS study ON study.run_uuid = runs.run_uuid AND study.key = ? AND study.value = ?
LEFT JOIN tags AS content ON content.run_uuid = runs.run_uuid AND content.key = ?
WHERE runs.lifecycle_stage = 'active'
"""

_TRIALS = """
SELECT fingerprint.value FROM runs
JOIN tags AS parent ON parent.run_uuid = runs.run_uuid AND parent.key = 'mlflow.parentRunId' AND parent.value = ?
JOIN tags AS fingerprint ON fingerprint.run_uuid = runs.run_uuid AND fingerprint.key = ?
JOIN tags AS complete ON complete.run_uuid = runs.run_uuid AND complete.key = ?
WHERE runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED'
"""

_STAGES = """
SELECT stage.value FROM runs
JOIN tags AS stage ON stage.run_uuid = runs.run_uuid AND stage.key = ?
JOIN tags AS complete ON complete.run_uuid = runs.run_uuid AND complete.key = ?
WHERE runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED'
"""


@dataclass(frozen=True)
class RecordedStudy:
    """A study whose run in MLflow has ended well.

    Attributes:
        parent: The id of its run.
        experiment: The id of MLflow's experiment.
        content: The identity of what was recorded; see `Tracker.close`.
        trials: The fingerprints of the trials that are recorded completely.
        stages: The P5 stages that are recorded completely, of whichever study.
    """

    parent: str
    experiment: str
    content: str
    trials: frozenset[str]
    stages: frozenset[str]


def default_uri(home: Home) -> str:
    """The MLflow database in `home`."""
    return f"{DATABASE}{home.mlflow_database}"


def find_recorded_study(uri: str, key: str) -> RecordedStudy | None:
    """What a database knows of the study `key`; None if it has no run, or several, or one that has not ended well."""
    file = Path(uri.removeprefix(DATABASE))
    if not uri.startswith(DATABASE) or not file.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            runs = database.execute(_PARENTS, (STUDY_KEY, key, CONTENT)).fetchall()
            if len(runs) != 1:
                return None
            parent, experiment, status, content = runs[0]
            if status != "FINISHED" or content is None:
                return None
            trials = database.execute(_TRIALS, (parent, FINGERPRINT, COMPLETE)).fetchall()
            stages = database.execute(_STAGES, (P5_STAGE, COMPLETE)).fetchall()
    except sqlite3.Error:
        return None
    first = [frozenset(value for (value,) in rows) for rows in (trials, stages)]
    return RecordedStudy(parent, str(experiment), content, *first)
