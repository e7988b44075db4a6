"""`python -m benchmarks.learning_curves`: how well a P5 stage ranks after how much CPU time, by its settings.

    python -m benchmarks.learning_curves --variants item_start=cooccurrence item_start=random --plot curves.png
    python -m benchmarks.learning_curves --dataset movielens-100k --source path/to/movielens-100k \\
        --set epochs=10 tasks=sequential,direct --variants image_placeholders=3 image_placeholders=0

Every variant is trained with every seed on one thread; the curves are validation, of which epochs are chosen.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from vip5core.data.dataset import Dataset, open_dataset
from vip5core.data.sources import prepare
from vip5core.home import Home
from vip5core.metrics import metric
from vip5core.trial.p5_spec import p5_config
from vip5core.trial.p5_stage import make_p5_backbone

_METRICS = ("valid/sequential/ndcg_at_10", "valid/direct/ndcg_at_10", "valid/explanation/sentence_bleu_4")


def learn(dataset: Dataset, settings: dict[str, str], seed: int, folder: Path) -> pd.DataFrame:
    """The curve of one P5 stage.

    Args:
        dataset: The dataset that it is trained on.
        settings: What differs from the preset `p5`, as text.
        seed: The seed of the stage.
        folder: A folder in which its backbone is written.

    Returns:
        One row per epoch: `cpu_s`, the CPU seconds since the start, validation included, and the metrics of `_METRICS`.
    """
    rows: list[dict[str, float]] = []
    begin = time.process_time()

    def note(metrics: dict[str, float]) -> None:
        known = {name: metrics[name] for name in _METRICS if name in metrics}
        rows.append({"epoch": metrics["epoch"], "cpu_s": time.process_time() - begin, **known})

    config = p5_config(**settings, seed=seed)
    make_p5_backbone(dataset, config, folder / "backbone", note, torch.device("cpu"))
    return pd.DataFrame(rows)


def draw(curves: pd.DataFrame, path: Path) -> None:
    """One panel per metric: a line per variant through the means over seeds, and a point per seed.

    Args:
        curves: The rows of `learn`, with `variant` and `seed`.
        path: The image to write.
    """
    names = [name for name in _METRICS if name in curves and curves[name].notna().any()]
    figure, panels = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.4), squeeze=False, layout="constrained")
    for panel, name in zip(panels[0], names, strict=True):
        for number, (variant, rows) in enumerate(curves.groupby("variant", sort=False)):
            mean = rows.groupby("epoch")[["cpu_s", name]].mean()
            panel.plot(mean["cpu_s"], mean[name], color=f"C{number}", label=variant)
            panel.scatter(rows["cpu_s"], rows[name], color=f"C{number}", s=10)
        panel.set(title=metric(name).title, xlabel="CPU seconds of one thread", ylim=(0, None))
        panel.grid(alpha=0.3)
    panels[0][0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Train all variants, print where each ends, and draw their curves if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning_curves",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", default="minimart", metavar="SOURCE", help="(minimart)")
    parser.add_argument("--source", type=Path, metavar="DIR")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all variants")
    parser.add_argument("--variants", nargs="+", default=["item_start=cooccurrence"], metavar="KEY=VALUE[+KEY=VALUE…]")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="(3)")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    given = parser.parse_args()
    torch.set_num_threads(1)
    frames = []
    with tempfile.TemporaryDirectory() as home:
        dataset = open_dataset(prepare(given.dataset, given.source, Home(Path(home))))
        for variant in given.variants:
            settings = dict(text.split("=", 1) for text in [*given.set, *variant.split("+")])
            for seed in range(given.seeds):
                with tempfile.TemporaryDirectory() as folder:
                    curve = learn(dataset, settings, seed, Path(folder))
                frames.append(curve.assign(variant=variant, seed=seed))
                print(f"{variant}, seed {seed}: {curve.iloc[-1].round(4).to_dict()}", flush=True)
    curves = pd.concat(frames, ignore_index=True)
    names = [name for name in _METRICS if name in curves]
    table = Table("variant", "epoch", "CPU s", *(metric(name).title for name in names), title=given.dataset)
    for (variant, epoch), rows in curves.groupby(["variant", "epoch"], sort=False):
        cells = [f"{rows[name].mean():.4f} ({rows[name].min():.4f} to {rows[name].max():.4f})" for name in names]
        table.add_row(variant, f"{epoch:.0f}", f"{rows['cpu_s'].mean():.0f}", *cells)
    Console(width=160).print(table)
    if given.plot:
        draw(curves, given.plot)


if __name__ == "__main__":
    main()
