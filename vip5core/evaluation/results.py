"""Per-user results and the metrics that summarise them, the same for models and baselines.

One row per user and task:

    task, template, split, user, item
    rank, reciprocal_rank    of the target, for ranking tasks; rank 0 means that it is not in the list
    invalid, duplicates      numbers of invalid and duplicate beams, for ranking tasks under the paper's protocol
    target_slice             cold, tail or head, and history_slice short or long, for ranking tasks of the test
    popularity_at_10, …      a column for each metric of the lists, for ranking tasks of the test
    prediction, reference    for explanations, with a column for each metric that has a value per text
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vip5core.evaluation.rank import RankedList
from vip5core.metrics import UNRANKED, metrics_of
from vip5core.prompts import Sample

#: Columns of the rows of a test before its lists are told apart; see `vip5core.evaluation.finish`.
LISTED, SCORES = "listed", "scores"


def ranking_rows(
    samples: Sequence[Sample],
    split: str,
    ranks: Sequence[int],
    invalid: Sequence[int] | None = None,
    duplicates: Sequence[int] | None = None,
    lists: Sequence[RankedList] | None = None,
) -> pd.DataFrame:
    """The rows of a ranking task; `lists` adds what is recommended, until the test is finished."""
    place = np.asarray(ranks, dtype=np.int32)
    frame = _describe(samples, split)
    frame["rank"] = place
    frame["reciprocal_rank"] = np.where(place == UNRANKED, 0.0, 1.0 / np.maximum(place, 1)).astype(np.float32)
    if invalid is not None and duplicates is not None:
        frame["invalid"], frame["duplicates"] = np.asarray(invalid), np.asarray(duplicates)
    if lists is not None:
        frame[LISTED], frame[SCORES] = [ranked.items for ranked in lists], [ranked.scores for ranked in lists]
    return frame


def text_rows(
    samples: Sequence[Sample], split: str, predictions: Sequence[str], references: Sequence[str]
) -> pd.DataFrame:
    """The rows of the explanation task."""
    frame = _describe(samples, split)
    frame["prediction"], frame["reference"] = list(predictions), list(references)
    for known in metrics_of("explanation"):
        if known.per_unit is not None:  # stored, because scoring texts takes long
            frame[known.name] = known.per_unit(frame)
    return frame


def _describe(samples: Sequence[Sample], split: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": [sample.template.task for sample in samples],
            "template": [sample.template.id for sample in samples],
            "split": split,
            "user": np.array([sample.user for sample in samples], dtype=np.int32),
            "item": np.array([sample.item for sample in samples], dtype=np.int32),
        }
    )


def summarise(rows: pd.DataFrame, beams: int) -> dict[str, float]:
    """Every metric of per-user rows that is declared for their task, named `<split>/<task>/<metric>`.

    Args:
        rows: Per-user rows of any tasks and splits.
        beams: The number of beams of each user, for the shares of invalid and duplicate ones.
    """
    metrics: dict[str, float] = {}
    for (split, task), part in rows.groupby(["split", "task"], sort=False):
        of_task = part.assign(beams=beams)
        selected: dict[object, pd.DataFrame] = {}  # the metrics of a slice share its rows
        for known in metrics_of(str(task)):
            if known.only not in selected:
                selected[known.only] = known.own(of_task)
            if known.can_be_computed(selected[known.only]):
                metrics[f"{split}/{task}/{known.name}"] = known.value(selected[known.only])
    return metrics
