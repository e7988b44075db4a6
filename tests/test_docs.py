"""What the documentation says of the source tree is true, and its examples run."""

from __future__ import annotations

import doctest
import importlib
import re

import pytest
from support.imports import ROOT, modules
from vip5platform import Search, Study
from vip5platform.cli.command_docs import commands_page

from vip5core.config import TrialConfig
from vip5core.metric_docs import metrics_page
from vip5core.setting_docs import settings_page
from vip5core.trial.run import run_trial

PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
EXAMPLES = sorted(name for name, path in modules().items() if "    >>> " in path.read_text("utf-8"))
_QUOTED = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:vip5core|platform|sweeps|tests|benchmarks|docs)/[\w./-]*")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_path_that_a_page_names_exists(page):
    text = page.read_text("utf-8")
    paths = {quoted for quoted in _QUOTED.findall(text) if _PATH.fullmatch(quoted)}
    assert [path for path in paths if not (ROOT / path).exists()] == []
    links = {link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link}
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_name_of_the_architecture_stands_in_its_file():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    pairs = re.findall(r"`([^`\s]+?):?`\s+(?:call\s+)?in\s+`([^`]+)`", text)
    assert len(pairs) > 25
    absent = [
        (name, path)
        for name, path in pairs
        if (ROOT / path).is_file() and not re.search(rf"\b{re.escape(name)}\b", (ROOT / path).read_text("utf-8"))
    ]
    assert absent == []


def test_the_architecture_tells_where_ten_next_things_go():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = [line for line in text.partition("## The next")[2].splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    assert all("`tests/" in row for row in rows)


@pytest.mark.parametrize(
    ("page", "content", "module"),
    [
        ("settings.md", settings_page, "vip5core.setting_docs"),
        ("metric-list.md", metrics_page, "vip5core.metric_docs"),
        ("commands.md", commands_page, "vip5platform.cli.command_docs"),
    ],
)
def test_a_page_of_reference_is_what_the_declarations_say(page, content, module):
    written = (ROOT / "docs" / page).read_text("utf-8")
    assert written == content(), f"write it again: python -m {module} > docs/{page}"


@pytest.mark.parametrize("declared", [Study, Search, TrialConfig, run_trial], ids=lambda declared: declared.__name__)
def test_what_a_reader_meets_first_has_an_example(declared):
    assert ">>> " in (declared.__doc__ or "")


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_run(name):
    results = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    )
    assert results.attempted
    assert not results.failed
