"""Time estimates from earlier trials on this machine, and trials that another version of the code finished."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vip5core.config import TrialConfig
from vip5core.errors import UserError
from vip5core.fingerprint import code_version
from vip5core.home import Home
from vip5core.trial.result import RESULT, TrialResult
from vip5core.trial.spec import TrialSpec

#: The settings that determine the time of a trial besides its epochs, the most important first.
_SIMILARITY_SETTINGS = (
    "backbone",
    "batch_size",
    "samples_per_user",
    "tuning",
    "max_history",
    "image_tokens",
    "encoder",
)


def load_earlier_results(home: Home) -> list[TrialResult]:
    """Every finished trial under `home` that this code can read."""
    found = []
    for file in sorted(home.trials.glob(f"*/{RESULT}")):
        try:
            found.append(TrialResult.load(file.parent))
        except UserError:  # written by an older version of the code
            continue
    return found


def estimate_seconds(config: TrialConfig, dataset: str, earlier: Iterable[TrialResult]) -> float | None:
    """Estimate the time of a trial: the time per epoch of the most similar earlier trials, times its epochs.

    Args:
        config: The settings of the trial.
        dataset: The fingerprint of its dataset.
        earlier: Finished trials of this machine.

    Returns:
        Seconds, or None if no similar trial has been run.
    """
    rates: dict[int, list[float]] = {}
    for result in earlier:
        if result.record.dataset.fingerprint != dataset or result.config.backbone != config.backbone:
            continue
        same = [getattr(result.config, key) == getattr(config, key) for key in _SIMILARITY_SETTINGS]
        likeness = sum(2 ** (len(same) - place) for place, alike in enumerate(same) if alike)
        rates.setdefault(likeness, []).append(result.metrics["cost/seconds"] / len(result.history))
    return statistics.median(rates[max(rates)]) * config.epochs if rates else None


def count_finished_by_other_code(
    specs: Iterable[TrialSpec], datasets: Mapping[Path, str], earlier: Sequence[TrialResult]
) -> int:
    """How many of these trials another version of the code has finished; their results are not reused.

    Args:
        specs: The trials to count among.
        datasets: The fingerprint of each dataset, by its folder.
        earlier: Finished trials of this machine.
    """
    now = code_version()
    known = {
        _trial_identity(result.config, result.record.dataset.fingerprint)
        for result in earlier
        if result.record.code != now
    }
    return sum(_trial_identity(spec.config, datasets[spec.dataset]) in known for spec in specs)


def _trial_identity(config: TrialConfig, dataset: str) -> str:
    return dataset + json.dumps(config.model_dump(mode="json"), sort_keys=True)
