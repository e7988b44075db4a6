"""Search: Optuna proposes the trials, by validation metrics only and without repeating one."""

from vip5platform.search.results import SearchPoint, best_trial, history, importances, pareto_front
from vip5platform.search.searcher import TrialSearcher
from vip5platform.search.space import Space
from vip5platform.search.storage import load_search

__all__ = [
    "SearchPoint",
    "Space",
    "TrialSearcher",
    "best_trial",
    "history",
    "importances",
    "load_search",
    "pareto_front",
]
