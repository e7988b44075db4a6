"""Declarations: a study compares the levels of factors, a search optimises over a space of settings."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vip5core.encoder_names import short_names
from vip5core.errors import UserError, unknown_name
from vip5core.metrics import answer_names


@dataclass(frozen=True)
class Factor:
    """A factor of a study: one design choice with its levels.

    Attributes:
        name: The name of the factor in tables and for `--levels`.
        levels: The settings of each level, by its name: settings of `TrialConfig`, or `dataset`, `ids` or `backbone`.
    """

    name: str
    levels: Mapping[str, Mapping[str, Any]]


def factor(setting: str, *values: Any) -> Factor:
    """A factor that varies one setting of `TrialConfig`, or `dataset`, `ids` or `backbone`, over these values.

    Examples:
        >>> factor("reduction_factor", 2, 8).levels
        {'2': {'reduction_factor': 2}, '8': {'reduction_factor': 8}}
    """
    return Factor(setting, {label: {setting: value} for label, value in _labelled(setting, values).items()})


def _labelled(setting: str, values: Sequence[Any]) -> dict[str, Any]:
    """The values of a setting by their names in tables, where an encoder is not called by a whole path."""
    labels = [str(value) for value in values]
    return dict(zip(short_names(labels) if setting == "encoder" else labels, values, strict=True))


@dataclass(frozen=True)
class Study:
    """The declaration of a study; `vip5platform.main` runs it.

    Every combination of levels is a cell, and every cell is trained with every seed.

    Attributes:
        name: A short name with hyphens, which the folder of the report starts with.
        question: The question that the study answers.
        factors: The factors whose levels are combined.
        settings: Settings of all trials in which the study differs from the defaults.
        metrics: The metrics that answer the question; metrics that the trials do not have are ignored.
        leave_out: Combinations of levels, as {factor: level}, that are not cells.

    Examples:
        A study of two factors that leaves out one combination:

        >>> study = Study(
        ...     name="adapter-size",
        ...     question="Do images need wider adapters?",
        ...     factors=(
        ...         Factor("images", {"none": {"image_tokens": 0}, "RN50": {"encoder": "RN50"}}),
        ...         factor("reduction_factor", 2, 8),
        ...     ),
        ...     leave_out=({"images": "none", "reduction_factor": "2"},),
        ... )
        >>> for cell in study.cells():
        ...     print(cell, study.settings_of(cell))
        {'images': 'none', 'reduction_factor': '8'} {'image_tokens': 0, 'reduction_factor': 8}
        {'images': 'RN50', 'reduction_factor': '2'} {'encoder': 'RN50', 'reduction_factor': 2}
        {'images': 'RN50', 'reduction_factor': '8'} {'encoder': 'RN50', 'reduction_factor': 8}

        Other levels of one factor, as by `--levels reduction_factor=8,64`:

        >>> other = study.with_levels("reduction_factor", ["8", "64"])
        >>> [cell["reduction_factor"] for cell in other.cells()]
        ['8', '64', '8', '64']
    """

    name: str
    question: str
    factors: tuple[Factor, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = field(default_factory=answer_names)
    leave_out: tuple[Mapping[str, str], ...] = ()

    @property
    def varied(self) -> frozenset[str]:
        """The settings that the factors vary."""
        return frozenset(key for factor in self.factors for level in factor.levels.values() for key in level)

    @property
    def decided(self) -> frozenset[str]:
        """The settings that every level of a factor sets, so that no other value of them has an effect."""
        levels = [[set(settings) for settings in factor.levels.values()] for factor in self.factors]
        return frozenset[str]().union(*(set.intersection(*of_factor) for of_factor in levels))

    def cells(self) -> list[dict[str, str]]:
        """All cells, each as {factor: level}, the first factor varying slowest."""
        names = [factor.name for factor in self.factors]
        cells = [
            dict(zip(names, levels, strict=True)) for levels in itertools.product(*(f.levels for f in self.factors))
        ]
        return [cell for cell in cells if not any(left.items() <= cell.items() for left in self.leave_out)]

    def settings_of(self, cell: Mapping[str, str]) -> dict[str, Any]:
        """The settings of a cell, without those of all cells."""
        settings: dict[str, Any] = {}
        for factor in self.factors:
            settings.update(factor.levels[cell[factor.name]])
        return settings

    def with_levels(self, name: str, levels: list[str]) -> Study:
        """The study with other levels of one factor: declared ones, or new values of the setting that it varies.

        Raises:
            UserError: For an unknown factor, no level, a repeated level, or a new level where the declared ones are not
                values of one setting.
        """
        known = {factor.name: factor for factor in self.factors}
        if name not in known:
            raise unknown_name("factor", name, known)
        if not levels or len(set(levels)) < len(levels):
            raise UserError(f"--levels {name}={','.join(levels)}: give at least one level, and name each level once")
        own = known[name].levels
        of_setting = any(set(settings) == {name} for settings in own.values())
        for level in levels:
            if level not in own and not of_setting:
                raise unknown_name(f"level of {name}", level, own)
        new = Factor(name, {label: own.get(level, {name: level}) for label, level in _labelled(name, levels).items()})
        factors = tuple(new if factor.name == name else factor for factor in self.factors)
        return Study(self.name, self.question, factors, self.settings, self.metrics, self.leave_out)


@dataclass(frozen=True)
class Choice:
    """The values that a searched setting can take."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """The range of a searched setting, bounds included: integers if both bounds are; log scale if `log`."""

    low: float
    high: float
    log: bool = False


def choice(*values: Any) -> Choice:
    """The values that a searched setting can take."""
    return Choice(values)


@dataclass(frozen=True)
class Search:
    """The declaration of a search; `vip5platform.main` runs it.

    Attributes:
        name: A short name with hyphens, which the folder of the report starts with.
        question: The question that the search answers.
        space: The values of each searched setting of `TrialConfig`.
        objectives: Metrics on validation, costs and sizes, the first on validation; several give a Pareto front.
        settings: Settings of all trials in which the search differs from the defaults.

    Examples:
        >>> search = Search(
        ...     name="adapter-search",
        ...     question="Which adapters are best for their size?",
        ...     space={"reduction_factor": choice(2, 8, 32), "learning_rate": Range(1e-3, 5e-2, log=True)},
        ...     objectives=("valid/sequential/ndcg_at_10", "model/trainable_parameters"),
        ... )
        >>> search.space["reduction_factor"]
        Choice(values=(2, 8, 32))
        >>> search.space["learning_rate"]
        Range(low=0.001, high=0.05, log=True)
    """

    name: str
    question: str
    space: Mapping[str, Choice | Range]
    objectives: tuple[str, ...] = ("valid/sequential/ndcg_at_10",)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def content(self) -> list[Any]:
        """What makes two searches the same: space, objectives and settings; not the name nor the question."""
        space = {key: dataclasses.asdict(domain) for key, domain in self.space.items()}
        return [space, list(self.objectives), dict(self.settings)]
