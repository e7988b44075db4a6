"""Time estimates from what was run on this machine, and trials that another version of the code finished."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from vip5core.backbones import P5_RECORD
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.fingerprint import code_version
from vip5core.home import Home
from vip5core.trial.p5_record import P5Record
from vip5core.trial.p5_spec import P5Stage
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

#: About the tokens of an item's id, and the passes that a training step costs: forward, and backward as much as two.
_ID_TOKENS, _BACKWARD = 3, 3


_Loaded = TypeVar("_Loaded")


def _load_readable(files: Iterable[Path], load: Callable[[Path], _Loaded]) -> list[_Loaded]:
    """What `load` reads from the folders of these files, in order, without what an older version of the code wrote."""
    found = []
    for file in sorted(files):
        with contextlib.suppress(UserError):
            found.append(load(file.parent))
    return found


def load_earlier_results(home: Home) -> list[TrialResult]:
    """Every finished trial under `home` that this code can read."""
    return _load_readable(home.trials.glob(f"*/{RESULT}"), TrialResult.load)


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


#: The settings that determine the time of a P5 stage besides its prompts, the most important first.
_SIMILARITY_OF_STAGES = ("max_history", "batch_size", "samples_per_user", "precision")


def load_earlier_stages(home: Home) -> list[P5Record]:
    """Every finished P5 stage under `home` that this code can read."""
    return _load_readable(home.backbones.glob(f"*/{P5_RECORD}"), P5Record.load)


def estimate_stage_seconds(stage: P5Stage, prompts: int, earlier: Iterable[P5Record]) -> float | None:
    """Estimate the time of a P5 stage if none of its epochs is saved, from the most similar earlier ones of its T5.

    Args:
        stage: The stage.
        prompts: The number of prompts of an epoch.
        earlier: Finished stages of this machine; of another dataset as well, if there are none of this one.

    Returns:
        Seconds, or None if no stage of this T5 has been run.
    """
    estimates: dict[int, list[float]] = {}
    for one in earlier:
        if one.config.backbone != stage.config.backbone:
            continue
        same = [
            one.record.dataset.fingerprint == stage.dataset.fingerprint,
            *(getattr(one.config, key) == getattr(stage.config, key) for key in _SIMILARITY_OF_STAGES),
        ]
        likeness = sum(2 ** (len(same) - place) for place, alike in enumerate(same) if alike)
        validation = one.metrics["cost/validation_seconds"] / len(one.history)
        epoch = prompts / one.metrics["cost/samples_per_second"] + validation
        estimates.setdefault(likeness, []).append(epoch * stage.config.epochs)
    return statistics.median(estimates[max(estimates)]) if estimates else None


def longest_first(
    specs: Sequence[TrialSpec], datasets: Mapping[Path, Dataset], earlier: Sequence[TrialResult]
) -> list[TrialSpec]:
    """Order trials so that the last ones to end are short: a long one would run alone while other cores idle.

    By the estimates from earlier trials if there is one for each, and among equals by a model of the work.

    Args:
        specs: The trials to order; equal ones keep their order.
        datasets: The opened datasets, by folder.
        earlier: Finished trials of this machine.
    """
    seconds = [estimate_seconds(spec.config, datasets[spec.dataset].fingerprint, earlier) for spec in specs]
    work = [estimate_work(spec.config, datasets[spec.dataset].n_users, spec.backbone) for spec in specs]
    known = None not in seconds
    keys = [(second or 0.0 if known else 0.0, units) for second, units in zip(seconds, work, strict=True)]
    return [specs[place] for place in sorted(range(len(specs)), key=lambda place: keys[place], reverse=True)]


def estimate_work(config: TrialConfig, users: int, backbone: Path) -> float:
    """The work of a trial in arbitrary units: tokens that pass the backbone, times the size of the backbone.

    Rough, as it only has to order trials: prompts are as long as a full history of items with their image tokens, and
    an answer costs as many tokens as there are beams. The encoder does not matter, as its features are computed before.
    """
    prompt = min(config.max_history * (_ID_TOKENS + config.image_tokens), config.max_source_tokens)
    trained = config.epochs * users * (sum(config.samples_per_user) + 1)
    validated = config.epochs * min(users, config.validation_users)
    tested = min(users, config.test_users or users)
    tokens = (_BACKWARD * trained + validated) * prompt + tested * (prompt + config.num_beams * _ID_TOKENS)
    return float(tokens) * sum(file.stat().st_size for file in backbone.iterdir())


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
