"""What trials will take, from what earlier ones took on this machine; and which were made by other code."""

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

#: What a trial's time hangs on, the most telling first, beside its epochs.
_TELLING = ("backbone", "batch_size", "samples_per_user", "tuning", "max_history", "image_tokens", "encoder")


def earlier_results(home: Home) -> list[TrialResult]:
    """Every finished trial under `home` that this code can read."""
    found = []
    for file in sorted(home.trials.glob(f"*/{RESULT}")):
        try:
            found.append(TrialResult.load(file.parent))
        except UserError:  # of an older version of the code
            continue
    return found


def estimate_seconds(config: TrialConfig, dataset: str, earlier: Iterable[TrialResult]) -> float | None:
    """How long a trial will take by itself: the time per epoch of the most similar ones, times its epochs.

    Args:
        dataset: the fingerprint of the trial's.
        earlier: finished trials of this machine.

    Returns:
        Seconds, or None if nothing similar has been run.
    """
    rates: dict[int, list[float]] = {}
    for result in earlier:
        if result.record.dataset.fingerprint != dataset or result.config.backbone != config.backbone:
            continue
        same = [getattr(result.config, key) == getattr(config, key) for key in _TELLING]
        likeness = sum(2 ** (len(same) - place) for place, alike in enumerate(same) if alike)
        rates.setdefault(likeness, []).append(result.metrics["cost/seconds"] / len(result.history))
    return statistics.median(rates[max(rates)]) * config.epochs if rates else None


def count_of_other_code(
    specs: Iterable[TrialSpec], datasets: Mapping[Path, str], earlier: Sequence[TrialResult]
) -> int:
    """How many of these trials were finished before by another version of the code, which does not count.

    Args:
        datasets: the fingerprint of each dataset's folder.
    """
    now = code_version()
    known = {
        _question(result.config, result.record.dataset.fingerprint) for result in earlier if result.record.code != now
    }
    return sum(_question(spec.config, datasets[spec.dataset]) in known for spec in specs)


def _question(config: TrialConfig, dataset: str) -> str:
    return dataset + json.dumps(config.model_dump(mode="json"), sort_keys=True)
