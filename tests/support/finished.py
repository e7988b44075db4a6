"""Finished trials that nobody trained: folders with the numbers that a test needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from support.trials import small
from vip5core.config import TrialConfig
from vip5core.evaluation.results import summarise
from vip5core.trial.result import TrialResult

NDCG = "test/sequential/ndcg_at_10"


def finished_trial(
    home: Path,
    name: str,
    ranks: np.ndarray | list[int],
    *,
    config: TrialConfig | None = None,
    metrics: dict[str, float] | None = None,
    dataset: str = "d",
    seconds: float = 10.0,
    code: str = "now",
) -> TrialResult:
    """A trial's folder `home/trials/name` whose users' targets have these ranks in sequential recommendation."""
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
    history = [{"epoch": float(e), "valid/loss": 1.0 / e} for e in range(1, config.epochs + 1)]
    record: dict[str, Any] = {
        "fingerprint": name,
        "code": code,
        "dataset": {"name": dataset, "fingerprint": dataset},
        "backbone": {"name": config.backbone, "fingerprint": "b"},
        "features": None,
        "workers": 1,
        "device": "cpu",
        "threads": 1,
        "versions": {"python": "3.11"},
    }
    folder = home / "trials" / name
    folder.mkdir(parents=True)
    rows.to_parquet(folder / "per_user.parquet", index=False)
    result = {
        "config": config.model_dump(mode="json"),
        "metrics": {**summarise(rows, config.num_beams), "cost/seconds": seconds, **(metrics or {})},
        "history": history,
        "record": record,
    }
    (folder / "result.json").write_text(json.dumps(result), "utf-8")
    return TrialResult.load(folder)
