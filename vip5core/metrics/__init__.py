"""Metrics: what a metric is (`Metric`), all of them by name (`metric`), how ranks and texts
are scored, what slices of users there are, and what lists of recommendations are like.
"""

from vip5core.metrics.lists import LIST_CUTOFF, coverage, mean_cosine, popularity, self_information
from vip5core.metrics.metric import Metric, pareto_front
from vip5core.metrics.ranking import UNRANKED, first_by_score, rank_by_score, rank_of
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
from vip5core.metrics.slices import SLICES, slice_histories, slice_targets

__all__ = [
    "LIST_CUTOFF",
    "METRICS",
    "SLICES",
    "UNRANKED",
    "Metric",
    "answer_names",
    "compared_names",
    "coverage",
    "first_by_score",
    "mean_cosine",
    "metric",
    "metric_names",
    "metrics_of",
    "pareto_front",
    "popularity",
    "rank_by_score",
    "rank_of",
    "register",
    "score",
    "self_information",
    "slice_histories",
    "slice_targets",
]
