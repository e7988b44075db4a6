"""MLflow's UI: the command that starts it, and its view of one study.

A view shows the trials of the study alone, with their levels and the metrics that answer, as table and charts. MLflow's
UI keeps the views that a user saves or shares in tags of the experiment, and opens one by a link that names the tag. A
study's view is such a tag: one per study, replaced when the study is run again. The names are those of the UI of MLflow
3.17.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vip5core.metrics import metric
from vip5platform.tracking.recorded import DATABASE, FINGERPRINT, LEVEL, SEED

#: MLflow's own choice for the port of its UI.
PORT = 5000

_TAG = "mlflow.sharedViewState."
#: The longest value of an experiment's tag.
_LONGEST = 5_000
#: Runs that a bar chart shows.
_MOST_RUNS = 100
_ANSWER = "answer"


def short_path(path: Path) -> str:
    """A path relative to the working directory if it is inside it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def ui_command(uri: str, port: int = PORT) -> str:
    """The command that starts the UI of a database on this machine, for a shell.

    >>> ui_command("sqlite:////data/my runs/mlflow.db").partition(" -m ")[2]
    "mlflow ui --backend-store-uri 'sqlite:////data/my runs/mlflow.db' --workers 1"
    """
    where = DATABASE + short_path(Path(uri.removeprefix(DATABASE))) if uri.startswith(DATABASE) else uri
    python = short_path(Path(sys.executable))
    other = [] if port == PORT else ["--port", str(port)]
    return shlex.join([python, "-m", "mlflow", "ui", "--backend-store-uri", where, "--workers", "1", *other])


def serve_command(uri: str, model: str) -> str:
    """The command that serves a logged model of the server or database `uri`, for a shell.

    MLflow starts its server by name, so that the environment's commands have to be on the path.
    """
    path = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    return f"{path} MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow models serve -m {model} --env-manager local"


def view_link(uri: str, experiment: str, parent: str, port: int = PORT) -> str:
    """The address of a study's view: on the server `uri`, or in the UI that `ui_command` starts."""
    server = uri if uri.startswith("http") else f"http://localhost:{port}"
    page = f"#/experiments/{experiment}/runs?viewStateShareKey={parent}&compareRunsMode=CHART"
    return f"{server.rstrip('/')}/{page}"


def artifact_address(run: str, path: str) -> str:
    """The address of a run's artifact, relative to the pages of the UI."""
    return f"get-artifact?path={path}&run_uuid={run}"


def view_tag(
    name: str, parent: str, factors: Sequence[str], metrics: Sequence[str], is_search: bool
) -> tuple[str, str]:
    """The tag of an experiment that holds a study's view.

    Args:
        name: What the UI calls the view.
        parent: The id of the study's run.
        factors: The names of the factors, or of the searched settings.
        metrics: The metrics that answer, the most important first; as many as fit are shown.
        is_search: Whether to draw a line through the settings of each trial.

    Returns:
        Its key and value.
    """
    shown = list(metrics)
    while len(value := _saved(name, _state(parent, factors, shown, is_search))) > _LONGEST and shown:
        shown.pop()
    return f"{_TAG}{parent}", value


def _saved(name: str, state: dict[str, Any]) -> str:
    return json.dumps({"name": name, "createdAt": int(time.time() * 1000), "state": json.dumps(state)})


def _state(parent: str, factors: Sequence[str], metrics: Sequence[str], is_search: bool) -> dict[str, Any]:
    columns = [f"tags.`{LEVEL}{factor}`" for factor in factors]
    columns += [f"tags.`{SEED}`", *(f"metrics.`{name}`" for name in metrics)]
    charts = [_chart("BAR", name, metricKey=name, runsCountToCompare=_MOST_RUNS) for name in metrics]
    if is_search:
        charts.append(_chart("PARALLEL", "settings", selectedParams=[*factors], selectedMetrics=[*metrics[:1]]))
    return {
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent}' and tags.`{FINGERPRINT}` LIKE '%'",
        **_order(metrics),
        "selectedColumns": columns,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": [{"uuid": _ANSWER, "name": _ANSWER, "display": True, "isReordered": True}],
        "isAccordionReordered": True,
    }


def _order(metrics: Sequence[str]) -> dict[str, Any]:
    """The best trial first. In order of time, the default, the UI would fold all trials under the run of the study."""
    name = metrics[0] if metrics else "cost/seconds"
    return {"orderByKey": f"metrics.`{name}`", "orderByAsc": not metric(name).higher_is_better}


def _chart(kind: str, name: str, **more: Any) -> dict[str, Any]:
    fixed = {"type": kind, "uuid": name, "metricSectionId": _ANSWER, "deleted": False, "isGenerated": False}
    return {**fixed, "displayName": name, **more}
