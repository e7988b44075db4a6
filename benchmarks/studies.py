"""`python -m benchmarks.studies`: every study of `sweeps/`, in a size that is done in minutes, with the time of each.

It shows that all of them run to their report, not what they would find: the shop is small and little is trained.
"""

from __future__ import annotations

import argparse
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from vip5platform.analysis.record import find_record

from vip5core.home import Home

_ROOT = Path(__file__).parents[1]
_SWEEPS = sorted((_ROOT / "sweeps").glob("*.py"))
_SMALL = (
    *("--dataset", "minimart:80", "--p5-epochs", "2", "--epochs", "2", "--set", "test_users=60", "validation_users=20"),
    *("train_candidates=5", "num_beams=10", "max_target_tokens=16"),
)
#: What a study needs beside or instead of the above.
_OWN = {
    "cross-domain": ("--levels", "dataset=minimart:80,minimart:60:1,minimart:100:2"),
    "joint-search": ("--trials", "8"),
}


def main() -> None:
    """Run the studies one after the other in one home, where they share what they have in common."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("runs/studies"), metavar="DIR", help="(runs/studies)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="such as reduction-ablation")
    given = parser.parse_args()
    table = Table("study", "seconds", "trials", "failed", "question", title="studies on minimart, in small")
    failed = False
    for path in _SWEEPS:
        names = runpy.run_path(str(path))
        declared = names.get("STUDY") or names["SEARCH"]
        if given.only and declared.name not in given.only:
            continue
        options = [*_SMALL, *_OWN.get(declared.name, ()), "--home", str(given.home)]
        if declared.name == "cross-domain":
            options = options[2:]
        if "STUDY" in names:
            options += ["--seeds", str(given.seeds)]
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, str(path), *options], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
        )
        seconds = time.perf_counter() - begin
        failed |= bool(done.returncode)
        if done.returncode > 1:
            table.add_row(declared.name, f"{seconds:.0f}", "", "", f"left with {done.returncode}")
            continue
        record = find_record(declared.name, Home(given.home.resolve()))
        failures = sum(bool(trial.failure) for trial in record.trials)
        table.add_row(declared.name, f"{seconds:.0f}", str(len(record.trials)), str(failures), record.question)
    Console().print(table)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
