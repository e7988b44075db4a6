"""`vip5 recommend` and `vip5 export`: lists of next items by a trained model, and the model as a folder."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vip5core.errors import UserError, first_few
from vip5platform.cli.runs import add_device, add_run

if TYPE_CHECKING:  # importing these takes seconds, and `--help` does not need them
    from vip5core.data.dataset import Dataset
    from vip5core.serving import Histories, ModelFiles

_ALL = "all"


def add_recommend(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 recommend`."""
    parser.epilog = (
        "The same command continues after an interruption. Scores are log-probabilities; ids are those of the source."
    )
    add_run(parser)
    add_device(parser)
    add = parser.add_argument
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument(
        "--users",
        metavar="FILE",
        help=f"users of the dataset, by their whole histories: {_ALL}, a .txt with an id per line, or a table (.csv, "
        ".tsv, .jsonl, .parquet) with the column user",
    )
    whom.add_argument(
        "--histories",
        type=Path,
        metavar="FILE",
        help="histories that the dataset need not have: a table with the columns user, item, and time if its rows are "
        "not in time order",
    )
    add("--k", type=int, default=20, metavar="N", help="length of each list (default: %(default)s)")
    add("--out", type=Path, required=True, metavar="FILE", help="file to write: .parquet, .csv or .jsonl")
    parser.set_defaults(run=_recommend)


def _recommend(given: argparse.Namespace) -> int:
    from vip5platform.environment import set_environment

    set_environment(None)
    from rich.markup import escape

    from vip5core.serving import Recommender, check_format, recommend_to_file
    from vip5platform.cli.runs import files_of
    from vip5platform.console import console, duration, say, stage, warn

    check_format(given.out)
    files = files_of(given.run_name, given)
    with stage("model"):
        recommender = Recommender(files, given.device)
        histories = _histories(given, files.dataset, recommender.catalogue)
    for remark in histories.remarks:
        warn(remark)
    start = time.perf_counter()
    with stage("users") as update:

        def show(done: int, total: int, news: str = "") -> None:
            rate = f"{done / (time.perf_counter() - start):,.0f} users/s" if console.is_terminal else ""
            update(done, total, rate)

        computed = recommend_to_file(recommender, histories, given.k, given.out, show)
    seconds = time.perf_counter() - start
    resumed = len(histories.users) - computed
    say(
        f"{computed:,} users in {duration(seconds)}, {computed / seconds:,.0f} users/s"
        + (f"; {resumed:,} were done before" if resumed else "")
        + f": [bold]{escape(str(given.out))}[/]"
    )
    return 0


def _histories(given: argparse.Namespace, dataset: Path, catalogue: Dataset) -> Histories:
    """The histories that the command line names."""
    from vip5core.data.dataset import open_dataset
    from vip5core.serving import histories_of, number_histories, read_histories, read_users
    from vip5platform.console import warn

    if given.histories is not None:
        return number_histories(read_histories(given.histories), catalogue)
    opened = open_dataset(dataset)
    if given.users == _ALL:
        return number_histories(histories_of(opened), catalogue)
    users = read_users(Path(given.users))
    unknown = sorted(set(users) - set(opened.users["raw_id"]))
    if len(unknown) == len(users):
        raise UserError(f"--users {given.users!r}: none is a user of the dataset ({first_few(unknown)})")
    if unknown:
        warn(f"{len(unknown):,} users are not in the dataset and get no list: {first_few(unknown)}")
    return number_histories(histories_of(opened, users), catalogue)


def add_export(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 export`."""
    parser.epilog = "The folder is read by vip5core alone: vip5core.serving.load_exported(DIR).recommend(histories)"
    add_run(parser)
    add = parser.add_argument
    add(
        "folder",
        nargs="?",
        type=Path,
        metavar="DIR",
        help="folder to write, which must not exist; needless with --mlflow",
    )
    add("--merge", action="store_true", help="add the updates of LoRA or IA3 to the backbone's own weights")
    add("--mlflow", action="store_true", help="log the model to the trial's run in MLflow, as a pyfunc model")
    add("--register", metavar="NAME", help="register it in MLflow under this name, as a new version; implies --mlflow")
    parser.set_defaults(run=_export)


def _export(given: argparse.Namespace) -> int:
    from vip5platform.environment import set_environment

    set_environment(None)
    import tempfile

    from rich.markup import escape

    from vip5core.data.dataset import MANIFEST, read_manifest
    from vip5core.serving import export_model
    from vip5core.trial.result import TrialResult
    from vip5platform.cli.runs import files_of
    from vip5platform.console import say, stage
    from vip5platform.serving.model_card import model_card

    to_mlflow = given.mlflow or given.register is not None
    if given.folder is None and not to_mlflow:
        raise UserError("name the folder to write, or use --mlflow")
    files = files_of(given.run_name, given)
    card = model_card(TrialResult.load(files.trial), read_manifest(files.dataset / MANIFEST))
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "model"
        with stage("export"):
            export_model(files, folder, card, merge=given.merge)
        if given.folder is not None:
            say(f"model: [bold]{escape(str(folder))}[/]")
        if to_mlflow:
            _log(given, files, folder)
    return 0


def _log(given: argparse.Namespace, files: ModelFiles, folder: Path) -> None:
    """Log an exported model to MLflow, and say how to serve it."""
    from rich.markup import escape

    from vip5core.home import Home
    from vip5platform.console import say, stage
    from vip5platform.serving.mlflow_model import log_model
    from vip5platform.tracking.recorded import default_uri
    from vip5platform.tracking.tracker import run_of_trial
    from vip5platform.tracking.ui import serve_command

    uri = given.tracking_uri or default_uri(Home.at(given.home))
    run = run_of_trial(files.trial.name, uri)
    if run is None:
        raise UserError(f"trial {files.trial.name} has no run in {uri!r}: run its study once more, which records it")
    with stage("MLflow"):
        model = log_model(folder, files.dataset, uri, run, given.register)
    say(f"in MLflow: [bold]{model}[/]; serve it: {escape(serve_command(uri, model))}")
