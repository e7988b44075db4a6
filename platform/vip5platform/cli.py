"""The command line that every study has."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vip5core.errors import UserError
from vip5platform.environment import set_environment
from vip5platform.study import Study


def parser(study: Study) -> argparse.ArgumentParser:
    """Its options, each explained."""
    parser = argparse.ArgumentParser(
        description=study.question,
        epilog="Run the same command again and only what is missing is computed.",
    )
    add = parser.add_argument
    add(
        "--dataset",
        default="minimart",
        metavar="NAME",
        help=(
            "minimart (the default; minimart:N for N users), another source by name (vip5 prepare --help has them), or "
            "the folder of a prepared dataset"
        ),
    )
    add(
        "--ids",
        choices=("random", "sequential", "collaborative", "published"),
        help=(
            "how items are numbered: at random (the default, but for vip5-release), along the training histories, by "
            "clusters of them, or as the source has published them, which may leak the test items"
        ),
    )
    add("--source", type=Path, metavar="DIR", help="raw files of the dataset, where it needs some")
    add(
        "--backbone",
        default="tiny",
        metavar="NAME",
        help=(
            "a T5 of the hub (t5-small, google/flan-t5-base, …), a T5's folder, or tiny (the default): made here, "
            "with small settings to match"
        ),
    )
    add(
        "--set",
        dest="settings",
        action="append",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help=(
            "a setting of every trial (see vip5core/config.py), such as reduction_factor=4 or encoder_weights=openai"
        ),
    )
    add("--seeds", type=int, default=1, metavar="N", help="repeat every trial with N seeds (1)")
    add("--epochs", type=int, metavar="N", help="epochs of each trial (20, as in the paper; 5 with the tiny backbone)")
    add("--p5-epochs", type=int, metavar="N", help="epochs of the P5 stage that makes the tiny backbone (4)")
    add("--home", type=Path, default=Path("runs"), metavar="DIR", help="everything is written here (runs)")
    add("--tracking-uri", metavar="URI", help="MLflow server or database (mlflow.db in --home)")
    add("--address", metavar="HOST:PORT", help="Ray cluster to join, auto for this machine's (a Ray of its own)")
    add(
        "--gpus-per-trial",
        type=float,
        metavar="F",
        help="share of a GPU for each worker (1 where there are GPUs; needed where an autoscaler has yet to add them)",
    )
    add("--workers-per-trial", type=int, default=1, metavar="N", help="data-parallel processes of each trial (1)")
    add("--dry-run", action="store_true", help="show the trials and stop")
    return parser


def main(study: Study, arguments: Sequence[str] | None = None) -> None:
    """Run `study` as the command line says, and leave the process.

    Exit codes: 0, all trials finished; 1, a trial failed; 2, a mistake in what was given; 130, interrupted.
    """
    given = vars(parser(study).parse_args(arguments))
    set_environment(given["address"])
    try:
        given["settings"] = tuple(_pair(text) for group in given["settings"] for text in group)
        # Imported late: torch, Ray and MLflow take seconds, and --help should not.
        from vip5platform.plan import Options
        from vip5platform.run import run_study

        code = 0 if run_study(study, Options(**given)) else 1
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        code = 130
    sys.exit(code)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--set {text!r}: must look like key=value, such as reduction_factor=4")
    return key, value
