"""The settings of a trial and of a P5 stage as help and documentation show them, made from their declaration.

`python -m vip5core.setting_docs > docs/settings.md` writes the page again.
"""

from __future__ import annotations

import itertools
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from vip5core.config import (
    EvaluationOptions,
    ImageOptions,
    ModelOptions,
    OptimOptions,
    P5Config,
    SamplingOptions,
    TaskOptions,
    TrainingOptions,
    TrialConfig,
    as_text,
)
from vip5core.presets import PRESETS


@dataclass(frozen=True)
class SettingDescription:
    """A setting as help and documentation show it.

    Attributes:
        group: What the settings of its group are about.
        name: Its name, as `--set` takes it.
        default: Its default, as `--set` takes it.
        values: The values that are allowed, in words.
        text: What it does.
    """

    group: str
    name: str
    default: str
    values: str
    text: str


_GROUPS: list[type[BaseModel]] = [
    TaskOptions,
    ImageOptions,
    ModelOptions,
    OptimOptions,
    TrainingOptions,
    SamplingOptions,
    EvaluationOptions,
    TrialConfig,
    P5Config,
]
#: What a group is about, where its docstring tells something else.
_ABOUT: dict[type[BaseModel], str] = {TrialConfig: "Other settings.", P5Config: "Of a P5 stage alone, for --p5-set."}


def setting_descriptions() -> list[SettingDescription]:
    """Every setting of `P5Config`, which has those of a trial, group by group, in the order of their declaration."""
    described: dict[str, SettingDescription] = {}
    for group in _GROUPS:
        about = _ABOUT.get(group, (group.__doc__ or "").strip())
        for name, field in group.model_fields.items():
            default = as_text(field.default)
            text = " ".join((field.description or "").split())
            described.setdefault(name, SettingDescription(about, name, default, _allowed_values(field), text))
    return list(described.values())


def _allowed_values(field: Any) -> str:
    """The choices or bounds of a setting, in words."""
    kind = field.annotation
    if typing.get_origin(kind) is tuple:
        parts = [part for part in typing.get_args(kind) if part is not Ellipsis]
        choices = typing.get_args(parts[0]) if typing.get_origin(parts[0]) is Literal else ()
        return "list of " + ", ".join(choices) if choices else f"{len(parts)} numbers from 0"
    if typing.get_origin(kind) is Literal:
        return ", ".join(typing.get_args(kind))
    optional = typing.get_origin(kind) in (typing.Union, types.UnionType)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {getattr(rule, name)}"
        for name, sign in signs.items()
        for rule in field.metadata
        if hasattr(rule, name)
    ]
    if bounds:
        return " and ".join(bounds) + (", or none" if optional else "")
    return "true, false" if kind is bool else ""


def settings_page() -> str:
    """The page `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Every setting of a trial, for `--set NAME=VALUE`, `--levels NAME=A,B` and searches. A P5 stage takes those",
        "that matter for it, and its own, by `--p5-set NAME=VALUE`. From [`vip5core/config.py`](../vip5core/config.py)",
        "by `python -m vip5core.setting_docs > docs/settings.md`.",
    ]
    for group, settings in itertools.groupby(setting_descriptions(), key=lambda one: one.group):
        lines += ["", f"## {group.splitlines()[0].rstrip('.')}", "", "| setting | default | values | what it does |"]
        lines.append("|---|---|---|---|")
        lines += [f"| `{s.name}` | `{s.default}` | {s.values} | {s.text} |" for s in settings]
    lines += [
        "",
        "## Presets",
        "",
        "What each preset of [`vip5core/presets.py`](../vip5core/presets.py) sets (`--preset NAME`); `--set` "
        "overrides it.",
        "",
        f"| setting | {' | '.join(PRESETS)} |",
        f"|---|{'---|' * len(PRESETS)}",
    ]
    for name in P5Config.model_fields:
        if any(name in settings for settings in PRESETS.values()):
            values = [f"`{as_text(settings[name])}`" if name in settings else "" for settings in PRESETS.values()]
            lines.append(f"| `{name}` | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(settings_page(), end="")
