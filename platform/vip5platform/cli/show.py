"""`vip5 show`: what one or two trained models read and answered, as a page and a short form."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vip5core.errors import UserError
from vip5core.vocabulary import RANKING_TASKS, TASKS
from vip5platform.cli.runs import add_device, add_run

if TYPE_CHECKING:  # importing these takes seconds, and `--help` does not need them
    from vip5core.serving import TrainedModel
    from vip5platform.serving.show.gather import Show

_SAMPLE = 12
#: The most settings in the name of a model.
_NAMING = 3


def add_show(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 show`."""
    add_run(parser, further=True)
    add_device(parser)
    add = parser.add_argument
    add("--user", action="append", metavar="ID", help="a user by the id of the source, or user_N; may be repeated")
    add(
        "--sample",
        type=int,
        default=_SAMPLE,
        metavar="N",
        help="without --user: so many users of the test, hits, near misses and failures alike; of two runs those on "
        "whom they differ most (default: %(default)s)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of the sample (default: %(default)s)")
    add("--task", action="append", choices=TASKS, help="show this task alone; may be repeated (default: all it has)")
    add("--out", type=Path, metavar="FILE", help="page to write (default: show-RUN.html)")
    parser.set_defaults(run=_show)


def _show(given: argparse.Namespace) -> int:
    from vip5platform.environment import set_environment

    set_environment(None)
    from rich.markup import escape

    from vip5core.storage import atomic_file
    from vip5platform.console import console, say, stage
    from vip5platform.serving.show.page import render_page
    from vip5platform.serving.show.terminal import print_short

    if given.sample < 1:
        raise UserError(f"--sample {given.sample}: must be at least 1")
    with stage("show"):
        trained = _load(given)
        content = _content(given, trained)
        page = render_page(content)
    out = given.out or Path(f"show-{'-'.join(model.result.folder.name[:8] for model in trained)}.html")
    try:
        with atomic_file(out) as aside:
            aside.write_text(page, "utf-8")
    except OSError as error:
        raise UserError(f"--out {str(out)!r} cannot be written ({error.strerror}): choose another file") from None
    print_short(content, console)
    say(f"{len(content.people)} users: [bold]{escape(str(out))}[/]")
    return 0


def _load(given: argparse.Namespace) -> list[TrainedModel]:
    """The one or two models, which are of one dataset."""
    from vip5core.data.dataset import open_dataset
    from vip5core.serving import TrainedModel
    from vip5platform.cli.runs import files_of

    names = [name for name in (given.run_name, given.other) if name is not None]
    trained = []
    for name in names:
        files = files_of(name, given)
        trained.append(TrainedModel(files, open_dataset(files.dataset), given.device))
    if len({model.dataset.fingerprint for model in trained}) > 1:
        raise UserError(f"{' and '.join(names)} are of different datasets: name two runs of one dataset")
    return trained


def _content(given: argparse.Namespace, trained: Sequence[TrainedModel]) -> Show:
    from vip5platform.serving.show.choose import sample_users, users_that_differ
    from vip5platform.serving.show.gather import Show, gather
    from vip5platform.serving.show.slices import slice_gains

    shared = [task for task in TASKS if all(task in model.config.tasks for model in trained)]
    tasks = [task for task in given.task or shared if task in shared]
    if not tasks:
        raise UserError(f"--task {','.join(given.task or ())}: not trained; choose among {', '.join(shared)}")
    rows, dataset = [model.result.per_user for model in trained], trained[0].dataset
    two, leading = len(trained) > 1, tasks[0]
    compared = two and leading in RANKING_TASKS
    if given.user:
        users = [_number(user, dataset.users["raw_id"].tolist()) for user in given.user]
    elif compared:
        users = users_that_differ(rows, leading, given.sample)
    else:
        users = sample_users(rows[0], leading, given.sample, given.seed)
    names = [_name(model, trained) for model in trained]
    people = gather(trained, users, tasks)
    if given.user:
        _check_asked(given.user, users, {person.user for person in people}, tasks, dataset.manifest.split)
    return Show(names, dataset, people, slice_gains(rows, leading) if compared else (), bool(given.user))


def _check_asked(names: Sequence[str], users: Sequence[int], asked: set[int], tasks: Sequence[str], split: str) -> None:
    """Refuse users about whom nothing can be shown."""
    unasked = [name for name, user in zip(names, users, strict=True) if user not in asked]
    if unasked:
        raise UserError(
            f"--user {unasked[0]}: the test asks nothing about this user (split={split}, tasks={','.join(tasks)}); "
            "name another, or leave --user out for a sample"
        )


def _number(user: str, raw_ids: Sequence[str]) -> int:
    """The number of a user."""
    from vip5core.errors import unknown_of_many

    if user in raw_ids:
        return raw_ids.index(user) + 1
    digits = user.removeprefix("user_")
    if digits.isdigit() and 1 <= int(digits) <= len(raw_ids):
        return int(digits)
    raise unknown_of_many("user", user, raw_ids, "vip5 describe DIR")


def _name(model: TrainedModel, trained: Sequence[TrainedModel]) -> str:
    """The settings that tell the models apart, or what a single one is; with its fingerprint."""
    from vip5core.config import as_text

    configs = [other.config.model_dump() for other in trained]
    mine = model.config.model_dump()
    differing = [key for key in mine if len({as_text(config[key]) for config in configs}) > 1]
    shown = [key for key in differing if key != "encoder" or model.config.uses_images][:_NAMING]
    if not shown:
        shown = ["encoder"] if model.config.uses_images else ["image_tokens"]
    return f"{', '.join(f'{key}={as_text(mine[key])}' for key in shown)} ({model.result.folder.name[:8]})"
