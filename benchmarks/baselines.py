"""Popularity and SASRec on the next items of prepared datasets, such as one with other ties or another split.

    python -m benchmarks.baselines DATASET [DATASET …] [--seeds N]

One thread; test metrics of all users who are asked, the mean over the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from vip5core.baselines.identity import SasrecOptions
from vip5core.baselines.sasrec import evaluate_sasrec, train_sasrec
from vip5core.baselines.simple import evaluate_baseline
from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.evaluation.evaluate import questions
from vip5core.templates import default_templates

METRICS = ("test/sequential/hit_rate_at_10", "test/sequential/ndcg_at_10")


def measure(
    dataset: Dataset, seeds: int, options: SasrecOptions | None = None
) -> Iterator[tuple[str, int, list[float]]]:
    """The name of each baseline, the number of users who are asked, and the `METRICS`."""
    chosen = vars(options or SasrecOptions())
    found: dict[str, list[dict[str, float]]] = {"popularity": [], "SASRec": []}
    for seed in range(seeds):
        config = TrialConfig(tasks=("sequential",), seed=seed)
        asked = questions(dataset, default_templates(), config, "test", None)
        found["popularity"].append(evaluate_baseline("popularity", dataset, asked, config)[0])
        fitted = train_sasrec(dataset, SasrecOptions(**{**chosen, "seed": seed}))
        found["SASRec"].append(evaluate_sasrec(fitted, dataset, asked, config)[0])
    for name, of_seeds in found.items():
        means = [float(np.mean([metrics[key] for metrics in of_seeds])) for key in METRICS]
        yield name, len(dataset.asked_users("test")), means


def main() -> None:
    """Print a line per dataset and baseline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET", help="the folder of a prepared dataset")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="number of seeds (default: %(default)s)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for folder in given.datasets:
        for name, asked, (hit_rate, ndcg) in measure(Dataset.load(folder), given.seeds):
            print(f"{folder.name}: {name}, {asked:,} users, HR@10 {hit_rate:.3f}, NDCG@10 {ndcg:.3f}", flush=True)


if __name__ == "__main__":
    main()
