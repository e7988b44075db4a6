"""The `vip5` command: prepares datasets, reports studies and compares runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vip5platform.cli import datasets, studies
from vip5platform.cli.exit import run_and_exit


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="vip5", description="Prepare datasets, and report and compare studies of VIP5."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    datasets.add_commands(commands)
    studies.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    Exit codes: 0, done; 1, some images or trials are missing; 2, invalid arguments; 130, interrupted.
    """
    given = parser().parse_args(arguments)
    run_and_exit(lambda: given.run(given))
