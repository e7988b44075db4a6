"""Searches without Ray: trials are finished by writing results with known values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from vip5platform.cluster.trainable import spec_of
from vip5platform.search import TrialSearcher

from support.trials import small
from vip5core.config import TrialConfig
from vip5core.home import Home
from vip5core.trial.result import Content, TrialRecord, TrialResult
from vip5core.trial.spec import TrialSpec

#: A value of the test that must never be seen outside a trial's folder.
SECRET = 0.123454321


def trial_of(settings: Mapping[str, Any]) -> TrialSpec:
    """The trial of `settings`, on inputs that are never read."""
    config = small(**settings)
    return TrialSpec(config, Path("/dataset"), Path("/backbone"), None, config.fingerprint("data", "backbone", None))


def loss_of(config: TrialConfig) -> float:
    """A smooth valley: best at reduction_factor 4 and learning_rate 1e-2."""
    return abs(config.reduction_factor - 4) / 10 + abs(config.learning_rate - 1e-2) * 10


def finish(spec: TrialSpec, home: Home, **metrics: float) -> None:
    """Write the trial's folder as if it had been trained."""
    loss, epochs = loss_of(spec.config), spec.config.epochs
    all_metrics = {
        "valid/loss": loss,
        "valid/sequential/ndcg_at_10": 1 - loss,
        "test/sequential/ndcg_at_10": SECRET,
        "cost/seconds": 2.5,
        "model/trainable_parameters": 1000.0 / spec.config.reduction_factor,
        **metrics,
    }
    history = [
        {"epoch": float(n), "valid/loss": loss + epochs - n + 1, "test/sequential/ndcg_at_10": SECRET}
        for n in range(1, epochs + 1)
    ]
    record = TrialRecord(fingerprint=spec.fingerprint, code="now", dataset=Content(name="data", fingerprint="data"))
    TrialResult(spec.folder(home), spec.config, all_metrics, history, record).save(pd.DataFrame({"task": []}))


def asked(searcher: TrialSearcher, trial_id: str) -> TrialSpec | None:
    """The trial that the searcher proposes; None when it is done."""
    point = searcher.suggest(trial_id)
    return spec_of(point, searcher.home) if isinstance(point, dict) else None


def run(searcher: TrialSearcher, limit: int = 1000) -> list[TrialSpec]:
    """Run proposed trials one by one, as Tune would, up to `limit` of them; returns them."""
    done: list[TrialSpec] = []
    while len(done) < limit and (spec := asked(searcher, f"t{len(done)}")) is not None:
        finish(spec, searcher.home)
        searcher.on_trial_complete(f"t{len(done)}", {"done": True})
        done.append(spec)
    return done
