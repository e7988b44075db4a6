"""Does the search find more than chance? `python -m benchmarks.search_regret`.

Every cell of a small grid is trained once. Then TPE, uniform random search and the grid in its order search this table
again and again, by the code that searches for real: a trial that is finished counts without being run. Regret is how
far the best cell found so far is from the best of all. No sampler repeats a cell, so that random search is random
without replacement; and the grid's order, which is arbitrary, is drawn anew for each repeat.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from transformers.utils import logging
from vip5platform import Choice, Search, choice
from vip5platform.cluster.pretraining import backbone_folder
from vip5platform.search import Space, TrialSearcher, history

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import assemble, store_fingerprint, write_shard
from vip5core.data.sources import prepare
from vip5core.encoders import EncoderChoice, Preparation, load_encoder, open_image
from vip5core.fingerprint import sha256_bytes
from vip5core.home import Home
from vip5core.metrics import metric
from vip5core.presets import PRESETS
from vip5core.trial.result import TrialResult
from vip5core.trial.run import run_trial
from vip5core.trial.spec import StudyInputs
from vip5core.vocabulary import SAMPLERS, TINY, Sampler

SPACE = {
    "learning_rate": choice(2e-3, 6e-3, 2e-2, 6e-2),
    "reduction_factor": choice(2, 4, 8, 16),
    "image_tokens": choice(0, 1, 2),
    "dropout": choice(0.0, 0.2),
}
OBJECTIVES = ("valid/loss", "valid/sequential/ndcg_at_10")
#: By objective and sampler, repeats × trials.
Regrets = Mapping[tuple[str, Sampler], np.ndarray]

_ENCODER = EncoderChoice("ViT-B/32", "tiny")

#: What all cells share: short prompts, two epochs; a trial takes seconds.
_COMMON: dict[str, Any] = {
    **PRESETS["tiny"],
    "backbone": TINY,
    "encoder": _ENCODER.name,
    "encoder_weights": _ENCODER.weights,
    "epochs": 2,
    "num_beams": 10,
    "max_history": 10,
    "test_users": 10,  # nobody looks at it here
}


def main() -> None:
    """Train what is missing of the grid, replay the samplers, and show what they found."""
    options = _options()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    inputs = _inputs(Home(options.home))
    values = _grid(inputs)
    regrets = {
        (objective, sampler): np.array(
            [_replay(inputs, objective, sampler, repeat, options.budget, values) for repeat in range(options.repeats)]
        )
        for objective in OBJECTIVES
        for sampler in SAMPLERS
    }
    rows = [row for objective in OBJECTIVES for row in _rows(objective, regrets, values, options.budget)]
    title = f"{len(values)} cells, {options.repeats} repeats; regret: median (quartiles)"
    columns = ("objective", "trials", *SAMPLERS)
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if options.out is not None:
        lines = [columns, ("---",) * len(columns), *rows]
        image = options.out.with_suffix(".png")
        text = f"{title}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        options.out.write_text(f"{text}\n![Regret by trials]({image.name})\n", "utf-8")
        _plot(regrets, image)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_regret", description=__doc__)
    parser.add_argument("--repeats", type=int, default=50, help="searches per sampler, each with a seed of its own")
    parser.add_argument("--budget", type=int, default=30, help="trials per search")
    parser.add_argument("--home", type=Path, default=Path("runs/search-regret"), help="where the grid's trials lie")
    parser.add_argument("--out", type=Path, help="write the table here, as Markdown, and the plot beside it")
    return parser.parse_args()


def _inputs(home: Home) -> StudyInputs:
    """A small shop, its features by a tiny encoder, and a backbone made by one epoch of P5."""
    dataset = Dataset.load(prepare("minimart:100", None, home))
    backbone = backbone_folder(TINY, dataset, home, {"epochs": 1})
    features = home.features / store_fingerprint(dataset, _ENCODER.fingerprint)
    if not features.is_dir():
        encoder, preparation = load_encoder(_ENCODER), Preparation.of(_ENCODER)
        paths = sorted({dataset.folder / image for image in dataset.items["image"].dropna()})
        found = [encoder.encode(preparation(open_image(path))[None])[0] for path in paths]
        hashes = [sha256_bytes(path.read_bytes()) for path in paths]
        shards = home.shards(_ENCODER.fingerprint)
        write_shard(shards, hashes, [np.asarray(feature) for feature in found], [None] * len(paths))
        record = {"name": _ENCODER.name, "weights": _ENCODER.weights, "fingerprint": _ENCODER.fingerprint}
        assemble(dataset, record, shards, features)
    return StudyInputs(home, dataset.folder, backbone, {(_ENCODER.name, _ENCODER.weights, "first"): features})


def _config(settings: Mapping[str, Any]) -> TrialConfig:
    return TrialConfig(**{**_COMMON, **settings})


def _grid(inputs: StudyInputs) -> list[dict[str, float]]:
    """The validation metrics of every cell, trained if they are not there."""
    values, start = [], time.perf_counter()
    space = Space(SPACE)
    specs = [inputs.spec(_config(space.settings(point))) for point in space.combinations()]
    for number, spec in enumerate(specs, start=1):
        run_trial(spec, inputs.home, lambda metrics: None)
        metrics = TrialResult.load(spec.folder(inputs.home)).metrics
        values.append({name: metrics[name] for name in OBJECTIVES})
        print(f"\rcell {number} of {len(specs)}, {time.perf_counter() - start:.0f} s", end="", flush=True)
    print()
    return values


def _replay(
    inputs: StudyInputs, objective: str, sampler: Sampler, seed: int, budget: int, values: list[dict[str, float]]
) -> np.ndarray:
    """The regret after each of `budget` trials."""
    search = Search("regret", "How far is it?", _shuffled(seed) if sampler == "grid" else SPACE, (objective,))
    searcher = TrialSearcher(
        search,
        lambda settings: inputs.spec(_config(settings)),
        inputs.home,
        "replay",
        trials=budget,
        seed=seed,
        sampler=sampler,
        storage=optuna.storages.InMemoryStorage(),
    )
    if isinstance(proposal := searcher.suggest("any"), dict):
        raise RuntimeError(f"a cell that has not been trained: {proposal}")
    table = history(searcher.study)
    found = table.loc[table["state"] == "complete", "best"].to_numpy()
    if len(found) != budget:
        raise RuntimeError(f"{sampler} gave {len(found)} trials instead of {budget}")
    every = [value[objective] for value in values]
    return max(every) - found if metric(objective).higher_is_better else found - min(every)


def _shuffled(seed: int) -> dict[str, Choice]:
    """The space with its settings and their values in a random order."""
    rng = np.random.default_rng(seed)
    keys = [list(SPACE)[place] for place in rng.permutation(len(SPACE))]
    return {key: Choice(tuple(SPACE[key].values[n] for n in rng.permutation(len(SPACE[key].values)))) for key in keys}


def _rows(objective: str, regrets: Regrets, values: list[dict[str, float]], budget: int) -> list[tuple[str, ...]]:
    """Regret after some numbers of trials; then how many trials half of the searches need to meet the best tenth."""
    rows = []
    for trials in sorted({5, 10, 15, 20, budget} & set(range(1, budget + 1))):
        cells = []
        for sampler in SAMPLERS:
            low, middle, high = np.quantile(regrets[objective, sampler][:, trials - 1], (0.25, 0.5, 0.75))
            cells.append(f"{middle:.4f} ({low:.4f}–{high:.4f})")
        rows.append((objective, str(trials), *cells))
    every = np.array([value[objective] for value in values])
    gaps = np.sort(every.max() - every if metric(objective).higher_is_better else every - every.min())
    tenth = gaps[max(1, len(gaps) // 10) - 1]
    shares = []
    for sampler in SAMPLERS:
        reached = (regrets[objective, sampler] <= tenth + 1e-12).argmax(axis=1)
        missed = ~(regrets[objective, sampler] <= tenth + 1e-12).any(axis=1)
        needed = np.where(missed, np.inf, reached + 1)
        middle = np.median(needed)
        shares.append(f"{middle:.0f}" if np.isfinite(middle) else f"more than {budget}")
    rows.append((objective, "to the best tenth", *shares))
    return rows


def _plot(regrets: Regrets, path: Path) -> None:
    """One panel per objective: the median as a line, the quartiles as a band."""
    mpl.use("Agg")
    figure = Figure(figsize=(5 * len(OBJECTIVES), 3.6), layout="constrained")
    panels = figure.subplots(1, len(OBJECTIVES))
    for panel, objective in zip(panels, OBJECTIVES, strict=True):
        for sampler in SAMPLERS:
            curves = regrets[objective, sampler]
            low, middle, high = np.quantile(curves, (0.25, 0.5, 0.75), axis=0)
            trials = np.arange(1, curves.shape[1] + 1)
            (line,) = panel.plot(trials, middle, label=sampler)
            panel.fill_between(trials, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
        panel.set(xlabel="trials", ylabel="regret", title=objective)
        panel.set_ylim(bottom=0)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
