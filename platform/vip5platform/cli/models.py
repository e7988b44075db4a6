"""`vip5 recommend`: lists of next items by a trained model."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vip5core.errors import UserError
from vip5platform.cli.runs import add_run

if TYPE_CHECKING:  # importing these takes seconds, and `--help` does not need them
    from vip5core.data.dataset import Dataset
    from vip5core.serving import Histories

_ALL = "all"


def add_recommend(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 recommend`."""
    parser.epilog = (
        "The same command continues after an interruption. Scores are log-probabilities; ids are those of the source."
    )
    add_run(parser)
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

    from vip5core.serving import Recommender, recommend_to_file
    from vip5core.serving.to_file import check_out
    from vip5platform.cli.runs import files_of
    from vip5platform.console import console, duration, say, stage, warn

    check_out(given.out)
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
    from vip5core.serving.histories import examples
    from vip5platform.console import warn

    if given.histories is not None:
        return number_histories(read_histories(given.histories), catalogue)
    opened = open_dataset(dataset)
    if given.users == _ALL:
        return number_histories(histories_of(opened), catalogue)
    users = read_users(Path(given.users))
    unknown = sorted(set(users) - set(opened.users["raw_id"]))
    if len(unknown) == len(users):
        raise UserError(f"--users {given.users!r}: none is a user of the dataset ({examples(unknown)})")
    if unknown:
        warn(f"{len(unknown):,} users are not in the dataset and get no list: {examples(unknown)}")
    return number_histories(histories_of(opened, users), catalogue)
