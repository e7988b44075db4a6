"""`vip5 report` and `vip5 compare`: analyse finished trials without training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from vip5core.errors import UserError
from vip5platform.cli.runs import RUN_HELP, add_home, add_tracking_uri


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 report`."""
    parser.add_argument(
        "study", metavar="STUDY", help="name of the study (reduction-ablation), or the folder of its report"
    )
    add_home(parser)
    parser.set_defaults(run=_report)


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 compare`."""
    parser.epilog = "Join runs that differ only in their seed by commas: vip5 compare a1,a2,a3 b1,b2,b3"
    for place in ("first", "second"):
        parser.add_argument(
            place,
            metavar="RUN",
            help=RUN_HELP,
        )
    parser.add_argument(
        "--metric",
        action="append",
        metavar="NAME",
        help="metric to compare, such as test/sequential/ndcg_at_10 (default: the usual ones that both have)",
    )
    add_home(parser)
    add_tracking_uri(parser)
    parser.set_defaults(run=_compare)


def _report(given: argparse.Namespace) -> int:
    from vip5platform.environment import set_environment

    set_environment(None)
    from vip5core.home import Home
    from vip5platform.analysis.record import RECORD, find_record
    from vip5platform.analysis.results import load_results
    from vip5platform.console import console, say, stage
    from vip5platform.report.files import write_report
    from vip5platform.report.render.terminal import show

    folder = Path(given.study)
    # The folder of a report is inside the home of its study.
    home = Home.at(folder.resolve().parents[1] if (folder / RECORD).is_file() else given.home)
    record = find_record(given.study, home)
    with stage("report"):
        study = load_results(record, home)
        files = write_report(study, home)
    show(study, console)
    for file in files:
        say(f"  {escape(str(file))}")
    return 0 if all(not cell.failures for cell in study.cells) else 1


def _compare(given: argparse.Namespace) -> int:
    from vip5platform.environment import set_environment

    set_environment(None)
    from vip5core.home import Home
    from vip5core.metrics import compared_names, metric
    from vip5platform.analysis.find_trials import load_runs, units_of
    from vip5platform.analysis.significance import compare, with_holm
    from vip5platform.console import console, say

    home = Home.at(given.home)
    sides = [load_runs(text.split(","), home, given.tracking_uri) for text in (given.first, given.second)]
    shared = [name for name in sides[0][0].metrics if all(name in run.metrics for runs in sides for run in runs)]
    names = given.metric or [name for name in compared_names() if name in shared]
    if not names:
        raise UserError(f"{given.first} and {given.second}: they share no metric that can be tested per user")
    first, second = (",".join(run.folder.name[:8] for run in runs) for runs in sides)
    tests = with_holm(
        [
            compare(units_of(sides[0], name), units_of(sides[1], name), names=(first, second), metric=name)
            for name in names
        ]
    )
    _print_differences(sides, say)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("metric", first, second, "difference", "95 % interval", "effect size", "p", "p (Holm)", "units"):
        table.add_column(head, justify="left" if head == "metric" else "right")
    for test in tests:
        measure = metric(test.metric)
        table.add_row(
            test.metric.removeprefix("test/"),
            measure.show(test.first_mean),
            measure.show(test.second_mean),
            measure.show(test.difference),
            f"{measure.show(test.low)} … {measure.show(test.high)}",
            f"{test.effect_size:+.2f}",
            f"{test.p_value:.4f}",
            f"{test.p_adjusted:.4f}",
            str(test.units),
        )
    console.print(table)
    if tests[0].seeds == 1:
        say("One seed: this compares these two trained models; comparing their settings needs several seeds.")
    return 0


def _print_differences(sides: list[Any], say: Any) -> None:
    """Print the settings in which the two sides differ."""
    first, second = (runs[0].config.model_dump(mode="json") for runs in sides)
    changed = [f"{key}: {first[key]} vs. {second[key]}" for key in first if first[key] != second[key]]
    say("; ".join(changed) if changed else "Both runs have the same settings.")
