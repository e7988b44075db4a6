"""Metrics: what a metric is (`Metric`), all of them by name (`metric`), and how ranks and texts are scored."""

from vip5core.metrics.metric import Metric, pareto_front
from vip5core.metrics.ranking import UNRANKED, rank_by_score, rank_of
from vip5core.metrics.registry import (
    METRICS,
    answer_names,
    compared_names,
    metric,
    metric_names,
    metrics_of,
    register,
    score,
)

__all__ = [
    "METRICS",
    "UNRANKED",
    "Metric",
    "answer_names",
    "compared_names",
    "metric",
    "metric_names",
    "metrics_of",
    "pareto_front",
    "rank_by_score",
    "rank_of",
    "register",
    "score",
]
