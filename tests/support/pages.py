"""The commands that README and docs show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from support.imports import ROOT

PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands_of(page: Path) -> list[list[str]]:
    """The commands of a page's shell blocks as words: no comments, lines joined, one turn of each loop."""
    found = []
    for block in _BLOCK.findall(page.read_text("utf-8")):
        for name, values in re.findall(r"for (\w+) in ([^;]+); do", block):
            block = block.replace(f"${name}", values.split()[0])
        # A quoted text may go over several lines: those belong to the command that quotes it.
        block = re.sub(r"'[^']*'", lambda quoted: quoted[0].replace("\n", " "), block)
        for line in block.replace("\\\n", " ").replace("&&", "\n").splitlines():
            if words := shlex.split(line, comments=True):
                found.append(words[: words.index("|")] if "|" in words else words)
    return found
