"""The `vip5` command: datasets, reports of studies, comparisons of runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vip5platform.cli import datasets, studies
from vip5platform.cli.exit import run_and_exit


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="vip5", description="Datasets, studies and runs of VIP5 ablations.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    datasets.add_commands(commands)
    studies.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave the process.

    Exit codes: 0, done; 1, some pictures or trials are missing; 2, a mistake in what was given; 130, interrupted.
    """
    given = parser().parse_args(arguments)
    run_and_exit(lambda: given.run(given))
