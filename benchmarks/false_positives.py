"""`python -m benchmarks.false_positives`: how often do the statistics see a difference where there is none?

One level is trained with many seeds, on a small shop, text-only. Then levels are drawn from this pool, S different
seeds for each of two, and compared: whatever is found is false. What is finished of the pool is kept, so that a run
that was cut off goes on. With `--simulate`, studies are drawn from a model instead, in which the truth is known and
seeds cost nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table
from vip5platform.analysis.significance import compare, unit_values
from vip5platform.cluster.pretraining import backbone_folder
from vip5platform.console import stage

from benchmarks.simulated_studies import TESTS, World, mean_squares, ours, rejections
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.sources import prepare
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.metrics import metric
from vip5core.presets import PRESETS
from vip5core.trial.result import TrialResult
from vip5core.trial.run import run_trial
from vip5core.trial.spec import StudyInputs
from vip5core.vocabulary import TINY

METRICS = ("test/sequential/ndcg_at_10", "test/direct/ndcg_at_10", "test/explanation/sentence_bleu_4")
SEEDS = (1, 2, 3, 5)

#: The level: some seconds of training per seed on one core.
_SETTINGS: dict[str, Any] = {
    **PRESETS["tiny"],
    "backbone": TINY,
    "image_tokens": 0,
    "epochs": 2,
    "samples_per_user": (1, 1, 1, 1),
    "validation_users": 50,
    "num_beams": 10,
}
_P5_EPOCHS = 2
_DRAWS = 1_999


def main() -> None:
    """Run what was asked for, and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.false_positives", description=__doc__)
    parser.add_argument("--pool", type=int, default=36, metavar="N", help="seeds to train")
    parser.add_argument("--studies", type=int, default=400, metavar="N", help="to draw for each number of seeds")
    parser.add_argument("--dataset", default="minimart:300", help="a name, or the folder of a prepared dataset")
    parser.add_argument("--home", type=Path, default=Path("runs/false-positives"), help="where the pool is kept")
    parser.add_argument("--simulate", action="store_true", help="draw studies from a model instead")
    parser.add_argument("--out", type=Path, help="write the tables here, as Markdown")
    options = parser.parse_args()
    if options.pool < 2:
        parser.error(f"--pool {options.pool}: two seeds at least are needed to compare")
    torch.set_num_threads(1)
    if options.simulate:
        tables = [simulated(options.studies), simulated_power(options.studies)]
    else:
        try:
            tables = [real(trained_pool(options.dataset, options.pool, Home(options.home)), options.studies)]
        except UserError as error:
            parser.error(str(error))
    console = Console()
    for table in tables:
        console.print(_rich(*table))
    if options.out is not None:
        options.out.write_text("\n".join(_markdown(*table) for table in tables), "utf-8")


def trained_pool(dataset: str, size: int, home: Home) -> list[pd.DataFrame]:
    """Per-user rows of `size` training runs that differ in their seeds alone."""
    folder = prepare(dataset, None, home)
    with stage("backbone") as update:
        backbone = backbone_folder(TINY, Dataset.load(folder), home, {"epochs": _P5_EPOCHS}, update)
    inputs = StudyInputs(home, folder, backbone, {})
    pool = []
    with stage("pool") as update:
        for seed in range(size):
            update(seed, size)
            spec = inputs.spec(TrialConfig(**{**_SETTINGS, "seed": seed}))
            pool.append(TrialResult.load(run_trial(spec, home, lambda metrics: None)).per_user)
    return pool


def real(pool: Sequence[pd.DataFrame], studies: int) -> tuple[str, list[tuple[str, ...]]]:
    """The rate of false positives in studies drawn from the pool, per metric and number of seeds."""
    heads = ("users only: p < .05 (%)", "ours: p < .05 (%)", "ours: 0 in the 95 % interval (%)")
    rows: list[tuple[str, ...]] = [("metric", "units", "run effect", "seeds", *heads)]
    with stage("studies") as update:
        for done, name in enumerate(METRICS):
            update(done, len(METRICS))
            values = [unit_values(frame, name) for frame in pool]
            of_seeds, _, rest = mean_squares(pd.concat(values, axis=1).to_numpy().T)
            label = f"{name.split('/')[1]} {metric(name).label}"
            run_effect = f"{of_seeds / rest - 1:.2f}" if rest else "–"
            for seeds in SEEDS:
                if 2 * seeds <= len(pool):
                    rates = _rates(values, seeds, studies)
                    rows.append((label, str(len(values[0])), run_effect, str(seeds), *map(_percent, rates)))
    title = (
        f"{studies} studies of two like levels, drawn from {len(pool)} training runs. They share training runs, so "
        "that a rate is less certain than so many independent ones would make it"
    )
    return title, rows


def _rates(values: Sequence[pd.Series], seeds: int, studies: int) -> tuple[float, float, float]:
    """Shares of rejections by users only and by ours, and of intervals that cover 0."""
    rng = np.random.default_rng(seeds)
    naive = found = covered = 0
    for study in range(studies):
        drawn = rng.choice(len(values), 2 * seeds, replace=False)
        first, second = ({int(seed): values[seed] for seed in half} for half in np.split(drawn, 2))
        answer = compare(first, second, draws=_DRAWS, seed=study)
        means = [{0: pd.concat(list(level.values()), axis=1).mean(axis=1)} for level in (first, second)]
        alone = answer if seeds == 1 else compare(*means, draws=_DRAWS, seed=study)
        naive += alone.p_value < 0.05
        found += answer.p_value < 0.05
        covered += answer.low <= 0 <= answer.high
    return naive / studies, found / studies, covered / studies


def simulated(studies: int) -> tuple[str, list[tuple[str, ...]]]:
    """The rate of false positives of each candidate test over a grid of worlds."""
    worlds = [
        World(users, seeds, run_effect)
        for users in (50, 200)
        for seeds in SEEDS
        for run_effect in (0.0, 0.25, 1.0, 4.0)
    ]
    worlds += [World(1000, seeds, run_effect) for seeds in SEEDS for run_effect in (0.0, 1.0)]
    worlds += [World(200, seeds, 1.0, hardness=h) for h in (4.6, 3.1) for seeds in (2, 3)]
    worlds += [World(200, seeds, run_effect, taste=0.5) for seeds in (2, 3, 5) for run_effect in (0.0, 1.0)]
    worlds += [World(200, seeds, 1.0, noise=4.0) for seeds in (2, 3, 5)]
    rows = [("users", "seeds", "run effect", "otherwise", *TESTS)]
    with stage("worlds") as update:
        for done, world in enumerate(worlds):
            update(done, len(worlds), f"{world.users} users")
            rates = rejections(world, studies)
            rows.append(
                (
                    str(world.users),
                    str(world.seeds),
                    f"{world.run_effect:g}",
                    _said(world),
                    *map(_percent, rates.values()),
                )
            )
    return f"p < .05 in {studies} simulated studies of two like levels each (%)", rows


def _said(world: World) -> str:
    said = {4.6: ["5 % of users hit"], 3.1: ["29 % of users hit"]}.get(world.hardness, [])
    said += ["levels differ by user"] if world.taste else []
    said += ["one level varies twice as much"] if world.noise != 1 else []
    return ", ".join(said)


def simulated_power(studies: int) -> tuple[str, list[tuple[str, ...]]]:
    """How often a difference that is there is found, 600 users."""
    advantages = (0.05, 0.1, 0.15, 0.2, 0.3)
    heads = [f"+{World(600, 3, advantage=a).relative_difference:.0%}" for a in advantages]
    rows = [("test", "seeds", "run effect", *heads)]
    tests = {"ours": ours, **{name: TESTS[name] for name in ("truncated, unpaired", "quasi-t")}}
    with stage("power") as update:
        for done, (seeds, effect) in enumerate((s, effect) for s in (2, 3, 5) for effect in (0.0, 1.0)):
            update(done, 6)
            found = [rejections(World(600, seeds, effect, advantage=a), studies // 2, tests) for a in advantages]
            rows += [(name, str(seeds), f"{effect:g}", *(_percent(rates[name]) for rates in found)) for name in tests]
    return f"p < .05 in {studies // 2} simulated studies each (%), by the true difference; 600 users, 9 % hit", rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _rich(title: str, rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(*rows[0], title=title)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _markdown(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return f"{title}.\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    main()
