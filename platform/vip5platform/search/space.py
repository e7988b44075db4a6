"""The search space and objectives, checked and converted for Optuna."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection

from vip5core.config import TrialConfig
from vip5core.errors import UserError, unknown_name
from vip5core.metrics import metric
from vip5platform.declarations import Choice, Range

#: A space with more combinations than this is treated as infinite.
_COUNTABLE = 100_000


class Space:
    """A search space.

    Args:
        space: The values of each searched setting of `TrialConfig`.

    Attributes:
        distributions: The space as Optuna's distributions; values that Optuna cannot store, such as tuples, as text.
        size: The number of combinations; None if infinite.

    Raises:
        UserError: For an empty space, an unknown setting, one that a search cannot vary, or impossible values.
    """

    def __init__(self, space: Mapping[str, Choice | Range]) -> None:
        if not space:
            raise UserError("a search needs at least one setting to vary, such as learning_rate")
        self._values: dict[str, dict[Any, Any]] = {}
        self.distributions: dict[str, BaseDistribution] = {}
        for key, domain in space.items():
            if key not in TrialConfig.model_fields:
                raise unknown_name("setting", key, TrialConfig.model_fields)
            if key in ("seed", "backbone"):
                raise UserError(f"a search cannot vary {key}: it is set on the command line only")
            if isinstance(domain, Choice):
                self._values[key] = _by_label(key, domain)
                self.distributions[key] = CategoricalDistribution(tuple(self._values[key]))
            else:
                self.distributions[key] = _distribution(key, domain)
        sizes = [_size(distribution) for distribution in self.distributions.values()]
        size = None if None in sizes else math.prod(size for size in sizes if size is not None)
        self.size = size if size is not None and size <= _COUNTABLE else None

    def settings(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a point in Optuna's representation."""
        return {key: self._values[key][value] if key in self._values else value for key, value in parameters.items()}

    def combinations(self) -> Iterator[dict[str, Any]]:
        """All points of a finite space, the first setting varying slowest."""
        axes = []
        for distribution in self.distributions.values():
            if isinstance(distribution, CategoricalDistribution):
                axes.append(list(distribution.choices))
            elif isinstance(distribution, IntDistribution):
                axes.append(list(range(distribution.low, distribution.high + 1)))
            else:
                raise ValueError(f"{distribution} is not finite")
        for values in itertools.product(*axes):
            yield dict(zip(self.distributions, values, strict=True))


def _by_label(key: str, domain: Choice) -> dict[Any, Any]:
    """The values of a choice, by their representation in Optuna and its storage."""
    labels: dict[Any, Any] = {}
    for value in domain.values:
        if isinstance(value, tuple | list):
            label: Any = ",".join(str(part) for part in value)  # as --set takes them
        else:
            label = value if value is None or isinstance(value, bool | int | float | str) else str(value)
        labels[label] = value
    if not labels or len(labels) < len(domain.values):
        raise UserError(f"{key}={domain.values}: give at least one value, and each value of a choice once")
    return labels


def _distribution(key: str, domain: Range) -> BaseDistribution:
    low, high = domain.low, domain.high
    if not (math.isfinite(low) and math.isfinite(high)) or low >= high or (domain.log and low <= 0):
        above = ", and low above 0 on a log scale" if domain.log else ""
        raise UserError(f"{key} from {low} to {high}: low must be below high{above}")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=domain.log)
    return FloatDistribution(low, high, log=domain.log)


def _size(distribution: BaseDistribution) -> int | None:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return distribution.high - distribution.low + 1
    return None


def directions(objectives: Sequence[str]) -> list[StudyDirection]:
    """The direction of each objective; also the check that no search can optimise a test metric.

    Raises:
        UserError: For no objective, one that is not a validation metric, cost or size, an unknown one, one given twice,
            or a first one that is not a validation metric.
    """
    if not objectives:
        raise UserError("a search needs at least one objective, such as valid/sequential/ndcg_at_10")
    for name in objectives:
        if not name.startswith(("valid/", "cost/", "model/")):
            raise UserError(
                f"objective {name!r}: a search may use validation metrics only; choose valid/, cost/ or model/ metrics"
            )
        metric(name)
    if len(set(objectives)) < len(objectives):
        raise UserError(f"objectives {', '.join(objectives)}: give each objective once")
    if not objectives[0].startswith("valid/"):
        raise UserError(
            f"objective {objectives[0]!r}: the first must be a validation metric; put a valid/ metric first"
        )
    return [
        StudyDirection.MAXIMIZE if metric(name).higher_is_better else StudyDirection.MINIMIZE for name in objectives
    ]
