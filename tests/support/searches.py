"""Searches without Ray: trials that are finished by writing what they are said to have given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vip5platform.cluster.trainable import spec_of
from vip5platform.search import TrialSearcher

from support.trials import small
from vip5core.config import TrialConfig
from vip5core.trial.spec import TrialSpec

#: A value of the test that must never be seen outside a trial's folder.
SECRET = 0.123454321


def trial_of(settings: Mapping[str, Any]) -> TrialSpec:
    """The trial of `settings` on inputs that nobody looks at."""
    config = small(**settings)
    return TrialSpec(config, Path("dataset"), Path("backbone"), None, config.fingerprint("data", "backbone", None))


def loss_of(config: TrialConfig) -> float:
    """A smooth valley: best at reduction_factor 4 and learning_rate 1e-2."""
    return abs(config.reduction_factor - 4) / 10 + abs(config.learning_rate - 1e-2) * 10


def finish(spec: TrialSpec, home: Path, **metrics: float) -> None:
    """Write the trial's folder as if it had been trained."""
    loss = loss_of(spec.config)
    epochs = [{"epoch": float(n + 1), "valid/loss": loss + spec.config.epochs - n} for n in range(spec.config.epochs)]
    result = {
        "config": spec.config.model_dump(mode="json"),
        "metrics": {
            "valid/loss": loss,
            "valid/sequential/ndcg_at_10": 1 - loss,
            "test/sequential/ndcg_at_10": SECRET,
            "cost/seconds": 2.5,
            "model/trainable_parameters": 1000.0 / spec.config.reduction_factor,
            **metrics,
        },
        "history": [{**epoch, "test/sequential/ndcg_at_10": SECRET} for epoch in epochs],
        "record": {},
    }
    folder = spec.folder(home)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result), "utf-8")


def asked(searcher: TrialSearcher, trial_id: str) -> TrialSpec | None:
    """What the searcher proposes; None when it is done."""
    point = searcher.suggest(trial_id)
    return spec_of(point) if isinstance(point, dict) else None


def run(searcher: TrialSearcher, limit: int = 1000) -> list[TrialSpec]:
    """Run what is proposed one by one, as Tune would, up to `limit`; returns it."""
    done: list[TrialSpec] = []
    while len(done) < limit and (spec := asked(searcher, f"t{len(done)}")) is not None:
        finish(spec, searcher.home)
        searcher.on_trial_complete(f"t{len(done)}", {"done": True})
        done.append(spec)
    return done
