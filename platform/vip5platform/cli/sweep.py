"""The command line of a study or search."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from typing import NoReturn

from vip5platform.cli.exit import run_and_exit
from vip5platform.declarations import Search, Study
from vip5platform.environment import set_environment
from vip5platform.options import add_options, read_options


def parser(declared: Study | Search, prog: str | None = None) -> argparse.ArgumentParser:
    """A parser with all options; its help also lists all settings of a trial."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=f"{declared.question} Running the same command again computes only what is missing.",
        epilog=_settings_help(),
        formatter_class=_Formatter,
    )
    add_options(parser, "study" if isinstance(declared, Study) else "search")
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Wraps the description and leaves the list of settings as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def _settings_help() -> str:
    # Imported late: the `vip5` command imports this module too, and defining the settings takes a quarter of a second.
    from vip5core.setting_docs import setting_descriptions

    lines = ["settings of a trial, for --set, --levels and searches; of a P5 stage, for --p5-set:"]
    for group, settings in itertools.groupby(setting_descriptions(), key=lambda one: one.group):
        lines += ["", f"  {group.splitlines()[0]}"]
        for one in settings:
            allowed = f"; {one.values}" if one.values else ""
            lines.append(f"    {one.name}={one.default}{allowed}")
            lines.append(f"        {one.text}")
    return "\n".join(lines)


def main(declared: Study | Search, arguments: Sequence[str] | None = None, prog: str | None = None) -> NoReturn:
    """Run a declaration with command line arguments and exit.

    Args:
        declared: The study or search.
        arguments: The arguments; those of the process if None.
        prog: The command that the help names, if it is not the file of the process.

    Exit codes: 0, all trials finished; 1, a trial failed; 2, invalid arguments; 130, interrupted.
    """
    given = vars(parser(declared, prog).parse_args(arguments))
    set_environment(given["address"])

    def work() -> int:
        # Imported late: torch, Ray and MLflow take seconds, and --help should not.
        from vip5platform.study.run import run

        return 0 if run(declared, read_options(given)) else 1

    run_and_exit(work)
