"""`vip5 studies`, `vip5 clean` and `vip5 ui`: what a home holds, what can go, and its runs in MLflow."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import NoReturn

from rich import box
from rich.markup import escape
from rich.prompt import Confirm
from rich.table import Table

from vip5core.errors import UserError, first_few
from vip5core.home import Home
from vip5core.storage import exclusive_lock
from vip5platform.analysis.holdings import held_study, interrupted, size_of, study_folders, unneeded
from vip5platform.cli.runs import add_home
from vip5platform.console import amount, console, duration, say
from vip5platform.tracking.recorded import default_uri
from vip5platform.tracking.ui import PORT, ui_command, view_link


def _home(given: argparse.Namespace) -> Home:
    home = Home.at(given.home)
    if home.store is not None:
        raise UserError(
            f"--home {given.home!r} is an object store, and this command knows folders only: give its copy on this "
            f"machine, {str(home.root)!r}, or use the tools of the store"
        )
    if not home.root.is_dir():
        raise UserError(f"--home {str(given.home)!r}: there is no such folder; run a study first, or give its --home")
    return home


def add_studies(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 studies`."""
    add_home(parser)
    parser.set_defaults(run=_studies)


def _studies(given: argparse.Namespace) -> int:
    home = _home(given)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("study", overflow="fold", max_width=24)
    table.add_column("question and answer", no_wrap=True, overflow="ellipsis", max_width=max(30, console.width - 60))
    for head in ("trials", "age", "size"):
        table.add_column(head, justify="right", no_wrap=True)
    for folder in study_folders(home):
        table.add_row(*_row(folder, home))
    console.print(table)
    folders = [path for path in sorted(home.root.iterdir()) if not path.name.startswith(".")]
    sizes = {path.name: size_of(path) for path in folders}
    say(", ".join(f"{name} {amount(size)}" for name, size in sizes.items()) + f"; all {amount(sum(sizes.values()))}")
    return 0


def _row(folder: Path, home: Home) -> list[str]:
    from vip5platform.report.files import ANSWER  # late: pandas takes a part of a second

    age = duration(time.time() - folder.stat().st_mtime)
    try:
        study = held_study(folder)
    except UserError:
        return [escape(folder.name), "its record cannot be read: run it again", "–", age, amount(size_of(folder))]
    size = amount(study.size(home))
    if study.record is None:
        return [escape(folder.name), "interrupted: the same command continues it", "–", age, size]
    told = folder / ANSWER
    answer = told.read_text("utf-8").strip() if told.is_file() else "–"
    text = f"{escape(study.record.question)}\n[dim]{escape(answer)}[/]"
    return [escape(study.record.name), text, f"{len(study.trials(home))} of {len(study.record.trials)}", age, size]


def add_clean(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 clean`."""
    parser.epilog = "MLflow's runs stay; delete them in its UI, and free their files by `mlflow gc`."
    add_home(parser)
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    parser.add_argument(
        "--interrupted",
        action="store_true",
        help="delete also what interrupted studies have finished, which cannot be told from what no study needs",
    )
    parser.set_defaults(run=_clean)


def _clean(given: argparse.Namespace) -> int:
    home = _home(given)
    with exclusive_lock(home.lock, f"a study is running in {str(home)!r}: wait until it ends, or stop it"):
        if (waiting := interrupted(home)) and not given.interrupted:
            raise UserError(
                f"{first_few(waiting)}: interrupted, and what it has finished cannot be told from what no study needs; "
                "run it to its end, or give --interrupted to delete that too"
            )
        paths = unneeded(home)
        sizes = {path: size_of(path) for path in paths}
        for path, size in sizes.items():
            say(f"{amount(size):>9}  {escape(str(path.relative_to(home.root)))}")
        if not paths:
            say("Nothing can go: every file belongs to a study.")
            return 0
        total = amount(sum(sizes.values()))
        if not (given.yes or _asks(f"Delete these {len(paths)}, {total}?")):
            say("Nothing was deleted; --yes does it without a question.")
            return 1
        for path in paths:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        say(f"{total} freed")
    return 0


def _asks(question: str) -> bool:
    """The user's answer; no where nobody can be asked."""
    return sys.stdin.isatty() and Confirm.ask(question, console=console, default=False)


def add_ui(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 ui`."""
    add_home(parser)
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help="port of the UI (default: %(default)s)")
    parser.set_defaults(run=_ui)


def _ui(given: argparse.Namespace) -> NoReturn:
    home = _home(given)
    uri = default_uri(home)
    if not home.mlflow_database.is_file():
        raise UserError(f"--home {str(given.home)!r}: has no {home.mlflow_database.name}; its studies are on a server")
    for record in (held_study(folder).record for folder in study_folders(home)):
        # By its name, because a home may have been moved since.
        here = record is not None and Path(record.tracking_uri).name == home.mlflow_database.name
        if record is not None and here and record.experiment:
            link = view_link(uri, record.experiment, record.parent, given.port)
            say(f"{escape(record.question)}\n  [bold]{escape(link)}[/]")
    console.file.flush()  # the links come before what MLflow says, in a file, too
    command = shlex.split(ui_command(uri, given.port))
    os.execv(command[0], command)  # MLflow in the place of this process: a signal that ends it reaches its server
