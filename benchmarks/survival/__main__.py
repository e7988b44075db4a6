"""`python -m benchmarks.survival`: studies that are disturbed at random moments end as one that was not.

A study of two trials is run in peace, then in pieces on a cluster of two nodes with an MLflow server, while faults are
injected: its driver, the process of a trial, a node or the server is killed (-9). Who loses its driver gives the same
command again; another node comes for one that was lost, and the server is back within seconds. Then trials, weights,
per-user results, metrics and MLflow's records of both are compared.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from vip5platform.environment import set_environment


def main() -> None:
    """Inject as many faults as asked, and print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survival", description=__doc__)
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="how many faults are injected")
    parser.add_argument("--of", default="driver,trial,node,mlflow", metavar="NAMES", help="what is killed, by turns")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="of each trial")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="inject no more after so many")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments")
    given = parser.parse_args()
    of = given.of.split(",")
    if wrong := set(of) - {"driver", "trial", "node", "mlflow"}:
        parser.error(f"--of {given.of}: no {', '.join(sorted(wrong))}; choose among driver, trial, node and mlflow")
    set_environment(None)  # before Ray is imported
    from benchmarks.survival.survive import survive

    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        found = survive(
            Path(folder),
            given.kills,
            of,
            given.seed,
            epochs=given.epochs,
            minutes=given.minutes,
            tell=lambda line: console.log(line, markup=False),
        )
    table = Table("killed", "times", "the user was told", "trials given up", "seconds repeated: median, most")
    for row in found.rows():
        table.add_row(*row)
    console.print(table)
    console.print(
        f"{found.studies} studies; {found.resumed} drivers began with a trial in the middle; {found.trained_again} "
        f"finished trials were trained again; {found.caught_up} studies were run once more for MLflow; "
        f"{len(found.mismatches)} mismatches"
    )
    for line in found.mismatches:
        console.print(f"  {line}", markup=False)
    raise SystemExit(bool(found.mismatches))


if __name__ == "__main__":
    main()
