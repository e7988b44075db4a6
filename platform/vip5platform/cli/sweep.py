"""The command line that every study and every search has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vip5platform.cli.exit import run_and_exit
from vip5platform.declarations import Search, Study
from vip5platform.environment import set_environment

from vip5core.errors import UserError


def parser(declared: Study | Search) -> argparse.ArgumentParser:
    """Its options, each explained."""
    parser = argparse.ArgumentParser(
        description=declared.question,
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
            "a T5 of the hub (t5-small, google/flan-t5-base, …), a T5's folder, or tiny (the default) or mini: made "
            "here, with small settings to match"
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
    (_add_study if isinstance(declared, Study) else _add_search)(parser)
    add("--epochs", type=int, metavar="N", help="epochs of each trial (20, as in the paper; 5 with the tiny backbone)")
    add("--p5-epochs", type=int, metavar="N", help="epochs of the P5 stage that makes a built-in backbone (4)")
    add(
        "--baselines",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=("popularity", "random", "sasrec"),
        metavar="A,B,…",
        help="what stands beside the levels (popularity,random,sasrec; '' for nothing)",
    )
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
    add("--dry-run", action="store_true", help="show the trials, what is finished already, how long the rest may take")
    return parser


def _add_study(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seeds", type=int, default=1, metavar="N", help="repeat every trial with N seeds (1; an answer needs 3)")
    add(
        "--levels",
        type=_levels,
        action="append",
        default=[],
        metavar="FACTOR=A,B,…",
        help="other levels of a factor: some of the study's own, or new values, such as dataset=data/beauty,data/toys",
    )
    add("--force", action="store_true", help="train every trial anew; earlier results go to trials/.replaced/")


def _add_search(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--trials", type=int, default=20, metavar="N", help="how many different trials to make (20)")
    add("--sampler", choices=("tpe", "random", "grid"), default="tpe", help="who proposes them (tpe)")
    add(
        "--no-early-stopping",
        dest="early_stopping",
        action="store_false",
        help="let bad trials run to their end (they are ended by successive halving, if there is one objective)",
    )


def main(declared: Study | Search, arguments: Sequence[str] | None = None) -> None:
    """Run a declaration as the command line says, and leave the process.

    Exit codes: 0, all trials finished; 1, a trial failed; 2, a mistake in what was given; 130, interrupted.
    """
    given = vars(parser(declared).parse_args(arguments))
    set_environment(given["address"])

    def work() -> int:
        given["levels"] = tuple(given.get("levels", ()))
        given["settings"] = tuple(_pair(text) for group in given["settings"] for text in group)
        # Imported late: torch, Ray and MLflow take seconds, and --help should not.
        from vip5platform.options import Options
        from vip5platform.study.run import run

        return 0 if run(declared, Options(**given)) else 1

    run_and_exit(work)


def _levels(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, values = text.partition("=")
    levels = tuple(value.strip() for value in values.split(",") if value.strip())
    if not (name and equals and levels):
        raise argparse.ArgumentTypeError(f"{text!r} must look like FACTOR=A,B, such as reduction_factor=4,8")
    return name, levels


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--set {text!r}: must look like key=value, such as reduction_factor=4")
    return key, value
