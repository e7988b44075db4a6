"""The page of commands, made from their declarations.

`python -m vip5platform.cli.command_docs > docs/commands.md` writes it again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from vip5platform.cli import sweep, vip5
from vip5platform.declarations import Study


def commands_page() -> str:
    """The page `docs/commands.md`."""
    lines = [
        "# Commands",
        "",
        "`vip5 COMMAND --help` and `python sweeps/STUDY.py --help` say the same. Exit codes: 0, all done; 1, something",
        "is missing (a trial, an image); 2, invalid arguments; 130, interrupted. Written by",
        "`python -m vip5platform.cli.command_docs > docs/commands.md`.",
    ]
    for name in vip5.COMMANDS:
        lines += _section(f"vip5 {name}", vip5.parser(name), vip5.COMMANDS[name][0], name)
    study = sweep.parser(Study("study", "", ()))
    lines += ["", "## A study", "", "`python sweeps/STUDY.py …`: options of every study.", "", *_table(study)]
    return "\n".join(lines) + "\n"


def _section(title: str, parser: argparse.ArgumentParser, about: str, name: str) -> Iterator[str]:
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    yield from ("", f"## {title}", "", f"{about[0].upper()}{about[1:]}.", "")
    yield from _table(commands.choices[name])


def _table(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from ("| argument | what it is |", "|---|---|")
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        values = action.metavar or (",".join(map(str, action.choices)) if action.choices else "")
        value = f" {values}" if values and action.nargs != 0 else ""
        names = ", ".join(f"`{name}{value}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"
        text = (action.help or "") % {"default": action.default, "prog": parser.prog}
        yield f"| {names.replace('|', '&#124;')} | {text.replace('|', '&#124;')} |"


if __name__ == "__main__":
    print(commands_page(), end="")
