"""Per-user results, and the metrics that sum them up: the same for models and baselines.

One row per user and task:

    task, template, split, user, item
    rank, reciprocal_rank      of the target, for ranking tasks; rank 0: not in the list
    invalid, duplicates        beams of the free-running protocol that named no item, or one a second time
    prediction, reference, sentence_bleu_4, rouge_l      for explanations
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vip5core.metrics.ranking import UNRANKED, ranking_metrics
from vip5core.metrics.text import rouge, sentence_bleu, text_metrics
from vip5core.prompts.prompt import Sample

RANKING_TASKS = ("sequential", "direct")


def ranking_rows(
    samples: Sequence[Sample],
    split: str,
    ranks: Sequence[int],
    invalid: Sequence[int] | None = None,
    duplicates: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Rows of a ranking task."""
    place = np.asarray(ranks, dtype=np.int32)
    frame = _who(samples, split)
    frame["rank"] = place
    frame["reciprocal_rank"] = np.where(place == UNRANKED, 0.0, 1.0 / np.maximum(place, 1)).astype(np.float32)
    if invalid is not None and duplicates is not None:
        frame["invalid"], frame["duplicates"] = np.asarray(invalid), np.asarray(duplicates)
    return frame


def text_rows(
    samples: Sequence[Sample], split: str, predictions: Sequence[str], references: Sequence[str]
) -> pd.DataFrame:
    """Rows of the explanation task."""
    frame = _who(samples, split)
    frame["prediction"], frame["reference"] = list(predictions), list(references)
    frame["sentence_bleu_4"] = [sentence_bleu(r, p) for r, p in zip(references, predictions, strict=True)]
    frame["rouge_l"] = rouge(references, predictions)["rouge_l"] if len(frame) else []
    return frame


def _who(samples: Sequence[Sample], split: str) -> pd.DataFrame:
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
    """The metrics of per-user rows of one split, named `<split>/<task>/<metric>`.

    Args:
        beams: how many each user had, for the shares of invalid and duplicate ones.
    """
    metrics: dict[str, float] = {}
    for (split, task), part in rows.groupby(["split", "task"], sort=False):
        if task in RANKING_TASKS:
            values = ranking_metrics(part["rank"].to_numpy())
            if "invalid" in part and part["invalid"].notna().all():
                values["invalid_share"] = float(part["invalid"].mean()) / beams
                values["duplicate_share"] = float(part["duplicates"].mean()) / beams
        else:
            values = text_metrics(part["reference"].tolist(), part["prediction"].tolist())
            # BLEU of a corpus is no mean over its texts, so levels are compared by the mean of the texts' own.
            values["sentence_bleu_4"] = float(part["sentence_bleu_4"].mean())
        metrics |= {f"{split}/{task}/{name}": value for name, value in values.items()}
    return metrics
