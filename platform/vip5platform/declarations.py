"""What is asked: a study compares the levels of factors, a search looks for the best of a space."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vip5core.errors import UserError, unknown_name
from vip5core.metrics import answer_names


@dataclass(frozen=True)
class Factor:
    """One choice under study.

    Attributes:
        name: for the table's head.
        levels: by name, what a level stands for: settings of `TrialConfig`, or `dataset`, `ids` or `backbone`.
    """

    name: str
    levels: Mapping[str, Mapping[str, Any]]


def factor(setting: str, *values: Any) -> Factor:
    """The usual factor: one setting of `TrialConfig`, or `dataset`, `ids` or `backbone`, takes these values."""
    return Factor(setting, {str(value): {setting: value} for value in values})


@dataclass(frozen=True)
class Study:
    """A declaration; `vip5platform.main` runs it.

    Attributes:
        name: short, with hyphens; names the report's folder.
        question: what the study answers.
        factors: every combination of their levels is a cell of the study.
        settings: settings of all trials that differ from the defaults because the question needs it.
        metrics: what answers the question; a metric that the trials do not have is left out.
        leave_out: combinations of levels, as {factor: level}, that are no cell.
    """

    name: str
    question: str
    factors: tuple[Factor, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = field(default_factory=answer_names)
    leave_out: tuple[Mapping[str, str], ...] = ()

    @property
    def varied(self) -> frozenset[str]:
        """The settings that its factors vary."""
        return frozenset(key for factor in self.factors for level in factor.levels.values() for key in level)

    def cells(self) -> list[dict[str, str]]:
        """Every combination of levels, each as {factor: level}, the first factor varying slowest."""
        names = [factor.name for factor in self.factors]
        cells = [
            dict(zip(names, levels, strict=True)) for levels in itertools.product(*(f.levels for f in self.factors))
        ]
        return [cell for cell in cells if not any(left.items() <= cell.items() for left in self.leave_out)]

    def settings_of(self, cell: Mapping[str, str]) -> dict[str, Any]:
        """The settings that a cell stands for, beside those of all cells."""
        settings: dict[str, Any] = {}
        for factor in self.factors:
            settings.update(factor.levels[cell[factor.name]])
        return settings

    def with_levels(self, name: str, levels: list[str]) -> Study:
        """The study with other levels of one factor: some of its own, or new values of the setting that it varies.

        Raises:
            UserError: for a factor that the study does not have, no level, or a new one where levels are not values of
                one setting.
        """
        known = {factor.name: factor for factor in self.factors}
        if name not in known:
            raise unknown_name("factor", name, known)
        if not levels or len(set(levels)) < len(levels):
            raise UserError(f"--levels {name}={','.join(levels)}: name each level once, and at least one")
        own = known[name].levels
        plain = all(set(settings) == {name} for settings in own.values())
        for level in levels:
            if level not in own and not plain:
                raise unknown_name(f"level of {name}", level, own)
        new = Factor(name, {level: own.get(level, {name: level}) for level in levels})
        factors = tuple(new if factor.name == name else factor for factor in self.factors)
        return Study(self.name, self.question, factors, self.settings, self.metrics, self.leave_out)


@dataclass(frozen=True)
class Choice:
    """A searched setting takes one of these values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A searched setting lies between `low` and `high`, both included; on a logarithmic scale if `log`."""

    low: float
    high: float
    log: bool = False


def choice(*values: Any) -> Choice:
    return Choice(values)


@dataclass(frozen=True)
class Search:
    """A declaration; `vip5platform.main` runs it.

    Attributes:
        name: short, with hyphens; names the report's folder.
        question: what the search answers.
        space: by setting of `TrialConfig`, what it may be.
        objectives: `valid/`, `cost/` and `model/` metrics, the first on validation; several give a Pareto front.
        settings: settings of all trials that differ from the defaults because the question needs it.
    """

    name: str
    question: str
    space: Mapping[str, Choice | Range]
    objectives: tuple[str, ...] = ("valid/sequential/ndcg_at_10",)
    settings: Mapping[str, Any] = field(default_factory=dict)
