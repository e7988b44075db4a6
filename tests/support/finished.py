"""Finished trials without training: folders with the numbers that a test needs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from support.trials import small
from vip5core.config import TrialConfig
from vip5core.evaluation.results import summarise
from vip5core.home import Home
from vip5core.trial.result import Content, TrialRecord, TrialResult

NDCG = "test/sequential/ndcg_at_10"


def finished_trial(
    home: Home,
    name: str,
    ranks: np.ndarray | list[int],
    *,
    config: TrialConfig | None = None,
    metrics: dict[str, float] | None = None,
    dataset: str = "d",
    seconds: float = 10.0,
    code: str = "now",
) -> TrialResult:
    """A trial in `home` with fingerprint `name` whose users' targets have these ranks in sequential recommendation."""
    config = config or small()
    ranks = np.asarray(ranks, dtype=np.int32)
    rows = pd.DataFrame(
        {
            "task": "sequential",
            "template": "A-3",
            "split": "test",
            "user": np.arange(1, len(ranks) + 1, dtype=np.int32),
            "item": np.arange(1, len(ranks) + 1, dtype=np.int32),
            "rank": ranks,
        }
    )
    record = TrialRecord(
        fingerprint=name,
        code=code,
        dataset=Content(name=dataset, fingerprint=dataset),
        backbone=Content(name=config.backbone, fingerprint="b"),
        host="node-7",
        versions={"python": "3.11"},
    )
    all_metrics = {**summarise(rows, config.num_beams), "cost/seconds": seconds, **(metrics or {})}
    history = [{"epoch": float(e), "valid/loss": 1.0 / e} for e in range(1, config.epochs + 1)]
    TrialResult(home.trial(name), config, all_metrics, history, record).save(rows)
    return TrialResult.load(home.trial(name))
