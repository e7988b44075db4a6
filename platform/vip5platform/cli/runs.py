"""What commands that use a trained model share: how a run is named, and where its parts are."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vip5platform.options import Options

if TYPE_CHECKING:
    from vip5core.serving import ModelFiles

RUN_HELP = "fingerprint of a trial (or a prefix of it), MLflow run id, or folder of a trial"


def add_run(parser: argparse.ArgumentParser, further: bool = False) -> None:
    """Add the run, if wanted a further one, and where runs are found."""
    parser.add_argument("run_name", metavar="RUN", help=RUN_HELP)
    if further:
        parser.add_argument("other", nargs="?", metavar="RUN", help="another run, to see the two side by side")
    add_home(parser)
    add_tracking_uri(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the device of the model."""
    parser.add_argument("--device", metavar="NAME", help="cpu or cuda (default: a GPU if there is one)")


def add_home(parser: argparse.ArgumentParser) -> None:
    """Add the home."""
    parser.add_argument(
        "--home",
        default=Options.home,
        metavar="DIR",
        help=f"folder or object store of the studies (default: {Options.home})",
    )


def add_tracking_uri(parser: argparse.ArgumentParser) -> None:
    """Add the MLflow by which runs are found."""
    parser.add_argument(
        "--tracking-uri", metavar="URI", help="MLflow server or database (default: mlflow.db in --home)"
    )


def files_of(name: str, given: argparse.Namespace) -> ModelFiles:
    """The parts of the run that is called `name`.

    Raises:
        UserError: if there is no such run, or a part of it is gone.
    """
    from vip5core.home import Home
    from vip5platform.analysis.find_inputs import find_files
    from vip5platform.analysis.find_trials import load_runs

    home = Home.at(given.home)
    (result,) = load_runs([name], home, given.tracking_uri)
    return find_files(result, home)
