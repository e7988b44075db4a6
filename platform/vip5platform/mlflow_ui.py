"""MLflow's view of one study: its trials alone, with their levels and the metrics that answer, as table and charts.

MLflow's UI keeps the views that a user saves or shares in tags of the experiment, and opens one by a link that names the
tag. A study's view is such a tag: one per study, replaced when the study is run again. The names are those of the UI of
MLflow 3.17; a UI that does not know one of them ignores it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from vip5platform.recorded import FINGERPRINT, LEVEL, SEED

_TAG = "mlflow.sharedViewState."
#: The longest value of an experiment's tag.
_LONGEST = 5_000
#: Runs that a bar chart shows.
_MOST_RUNS = 100
_ANSWER = "answer"


def view_link(server: str, experiment: str, parent: str) -> str:
    """The address of a study's view, in the UI of a server."""
    page = f"#/experiments/{experiment}/runs?viewStateShareKey={parent}&compareRunsMode=CHART"
    return f"{server.rstrip('/')}/{page}"


def view_tag(name: str, parent: str, factors: Sequence[str], metrics: Sequence[str], is_search: bool) -> tuple[str, str]:
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
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "selectedColumns": columns,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": [{"uuid": _ANSWER, "name": _ANSWER, "display": True, "isReordered": True}],
        "isAccordionReordered": True,
    }


def _chart(kind: str, name: str, **more: Any) -> dict[str, Any]:
    fixed = {"type": kind, "uuid": name, "metricSectionId": _ANSWER, "deleted": False, "isGenerated": False}
    return {**fixed, "displayName": name, **more}
