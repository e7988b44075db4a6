"""Records of studies that did not run."""

from __future__ import annotations

from typing import Any

from vip5platform.analysis.record import StudyRecord


def study_record(**changes: Any) -> StudyRecord:
    """The record of a study on one CPU, of which nothing matters but what is given."""
    plain: dict[str, Any] = {
        "kind": "study",
        "name": "toy",
        "question": "Which?",
        "key": "k",
        "command": "",
        "commit": "",
        "factors": [],
        "metrics": [],
        "settings": {},
        "trials": [],
        "baselines": [],
        "dirty": False,
        "workers": 1,
        "gpus": 0.0,
        "cpus": 1.0,
    }
    return StudyRecord(**{**plain, **changes})
