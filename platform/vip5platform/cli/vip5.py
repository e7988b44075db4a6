"""The `vip5` command: runs studies, prepares datasets, reports, compares runs and uses trained models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from vip5core.errors import unknown_name
from vip5platform.cli.exit import run_and_exit

#: Every command with its help and the module that adds its arguments by `add_<command>`.
COMMANDS = {
    "run": ("run a study, and report it", "run"),
    "prepare": ("prepare a dataset from raw files", "datasets"),
    "describe": ("print statistics of a dataset and draw a sheet of sample items", "datasets"),
    "images": ("download the images of a dataset's items", "datasets"),
    "encoders": ("list visual encoders, with their sizes and their speed here", "encoders"),
    "report": ("write and print the report of a study", "studies"),
    "studies": ("list the studies of a home: question, answer, trials, age, size on disk", "home"),
    "clean": ("delete what no study of a home needs, after showing it", "home"),
    "ui": ("start MLflow's UI, with a link to the runs of each study", "home"),
    "server": ("run MLflow for a cluster: started again when it fails, its database copied", "server"),
    "compare": ("paired test between two runs", "studies"),
    "show": ("show what one or two trained models read and answered, as a page", "show"),
    "recommend": ("write lists of next items by a trained model", "models"),
    "export": ("write a trained model as a folder, or log it to MLflow", "models"),
}


def parser(given: str | None) -> argparse.ArgumentParser:
    """A parser of all commands; `given` alone has its arguments, because importing what defines them takes a second."""
    parser = argparse.ArgumentParser(
        prog="vip5",
        description="Run studies of VIP5, prepare their datasets, report and compare them, use their models.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (text, module) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name == given:
            getattr(import_module(f"vip5platform.cli.{module}"), f"add_{name}")(command)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    Exit codes: 0, done; 1, some images or trials are missing; 2, invalid arguments; 130, interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    command = next((argument for argument in arguments if not argument.startswith("-")), None)

    def work() -> int:
        if command is not None and command not in COMMANDS:
            raise unknown_name("command", command, COMMANDS)
        given = parser(command).parse_args(arguments)
        return int(given.run(given))

    run_and_exit(work)
