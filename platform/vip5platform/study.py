"""What a study is: a question, and the factors whose levels are compared to answer it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Factor:
    """One choice under study.

    Attributes:
        name: for the table's head.
        levels: the settings of `TrialConfig` that each level stands for, by the level's name.
    """

    name: str
    levels: Mapping[str, Mapping[str, Any]]


def factor(setting: str, *values: Any) -> Factor:
    """The usual factor: one setting of `TrialConfig` takes these values."""
    return Factor(setting, {str(value): {setting: value} for value in values})


@dataclass(frozen=True)
class Study:
    """A declaration; `vip5platform.main` runs it.

    Attributes:
        name: short, with hyphens; names the MLflow runs and the report's folder.
        question: what the study answers.
        factors: every combination of their levels is a cell of the study.
        settings: settings of all trials that differ from the defaults because the question needs it.
    """

    name: str
    question: str
    factors: tuple[Factor, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def cells(self) -> list[dict[str, str]]:
        """Every combination of levels, each as {factor: level}, the first factor varying slowest."""
        names = [factor.name for factor in self.factors]
        return [
            dict(zip(names, levels, strict=True)) for levels in itertools.product(*(f.levels for f in self.factors))
        ]

    def settings_of(self, cell: Mapping[str, str]) -> dict[str, Any]:
        """The settings of `TrialConfig` that a cell stands for, beside those of all cells."""
        settings: dict[str, Any] = {}
        for factor in self.factors:
            settings.update(factor.levels[cell[factor.name]])
        return settings
