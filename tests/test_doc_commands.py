"""The commands that README and docs show are ones that the project understands; `test_documented_studies` runs some."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys

import pytest
from support.imports import ROOT
from support.pages import PAGES, commands_of
from vip5platform.cli import sweep, vip5


def parse(words: list[str]) -> None:
    """Parse a command of the project; others are left alone."""
    if words[0] == "vip5":
        vip5.parser(words[1]).parse_args(words[1:])
    elif words[0] == "python" and words[1].startswith("sweeps/"):
        path = ROOT / words[1]
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sweep.parser(getattr(module, "STUDY", None) or module.SEARCH).parse_args(words[2:])
    elif words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(words[1:]) - {w for w in words if "=" in w} <= set(targets)
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None


def refusal(words: list[str]) -> str:
    """What a command line says against these words; nothing if it understands them."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(io.StringIO()):
            parse(words)
    except SystemExit as stopped:
        return f"{shlex.join(words)}: {output.getvalue()}" if stopped.code else ""
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_understood(page):
    for words in commands_of(page):
        if "…" in " ".join(words) or any(w.isupper() for w in words):
            continue  # a pattern, not a command
        assert refusal(words) == ""


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "site" / "index.html").is_file()
