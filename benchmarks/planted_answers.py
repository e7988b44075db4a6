"""`python -m benchmarks.planted_answers`: does the default study find what is planted in other shops?

The tiny encoders see better in the order in which `ENCODERS` names them, and a model without images sees least. So what
a study declares about two levels is true if the better one sees better, and false if it sees worse.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from vip5core.home import Home
from vip5core.vocabulary import ENCODERS

_SWEEP = Path(__file__).parents[1] / "sweeps" / "encoder_ablation.py"
#: Levels of the study, from what sees least to what sees best.
PLANTED = ("text-only", *ENCODERS)
_METRIC = "test/explanation/sentence_bleu_4"


def declared(comparisons: pd.DataFrame) -> tuple[list[str], list[str]]:
    """What a study declares about two of its levels: the true differences, and the false ones.

    Args:
        comparisons: A study's `comparisons.csv`.
    """
    pairs = comparisons[comparisons["distinguishable"]]
    pairs = pairs[pairs["first"].isin(PLANTED) & pairs["second"].isin(PLANTED)]
    found: tuple[list[str], list[str]] = [], []
    for row in pairs.itertuples():
        better, worse = (row.first, row.second) if row.difference > 0 else (row.second, row.first)
        found[PLANTED.index(better) < PLANTED.index(worse)].append(f"{better} > {worse}")
    return found


def main() -> None:
    """Run the default study in several shops, and print what each declares."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted_answers", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("runs/planted"), metavar="DIR", help="(runs/planted)")
    parser.add_argument("--shops", type=int, nargs="+", default=[1, 2, 3], metavar="SEED", help="(1 2 3)")
    parser.add_argument("--seeds", type=int, default=4, metavar="N", help="of each level, as in `make ablation` (4)")
    given = parser.parse_args()
    table = Table("shop", "true", "false", "true differences", "means of sentence BLEU-4, as planted", "minutes")
    wrong = 0
    for seed in given.shops:
        home = Home((given.home / str(seed)).resolve())
        command = [sys.executable, str(_SWEEP), "--dataset", f"minimart:600:{seed}", "--seeds", str(given.seeds)]
        begin = time.perf_counter()
        subprocess.run(
            [*command, "--home", str(home.root)], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, stdout=2
        )
        minutes = (time.perf_counter() - begin) / 60
        (path,) = home.root.glob("reports/*/comparisons.csv")
        comparisons = pd.read_csv(path)
        true, false = declared(comparisons)
        told = comparisons[comparisons["metric"] == _METRIC]
        means = dict(zip(told["first"], told["first_mean"], strict=True))
        means |= dict(zip(told["second"], told["second_mean"], strict=True))
        in_order = ", ".join(f"{means[level]:.1f}" for level in PLANTED)
        table.add_row(str(seed), str(len(true)), str(len(false)), "; ".join(true), in_order, f"{minutes:.1f}")
        wrong += len(false)
    Console(width=160).print(table)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
