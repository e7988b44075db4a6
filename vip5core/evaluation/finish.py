"""The end of a test: the lists are told apart, each user's slices are noted, and all metrics are computed.

What is recommended, in long form:

    task, user, rank         the place in the user's list, from 1; a list is as long as the search has beams, and a
                             baseline's as `vip5core.baselines.ranking` says
    item, score              the item, and how the recommender scored it
    raw_user, raw_item       the ids of the source, which are the same under every id scheme

Beams that name no item of the catalogue are left out, and leave their place empty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from vip5core.data.dataset import Dataset
from vip5core.evaluation.results import LISTED, SCORES, summarise
from vip5core.metrics import LIST_CUTOFF, coverage, popularity, self_information, slice_histories, slice_targets


class Evaluation(NamedTuple):
    """What a test finds.

    Attributes:
        metrics: The `test/` metrics.
        rows: The per-user rows; see `vip5core.evaluation.results`.
        lists: What is recommended to each user; None if no task is one of ranking.
    """

    metrics: dict[str, float]
    rows: pd.DataFrame
    lists: pd.DataFrame | None


def finish(rows: pd.DataFrame, dataset: Dataset, beams: int) -> Evaluation:
    """The results of a test.

    Args:
        rows: The per-user rows, with the lists of ranking tasks.
        dataset: The dataset that the questions are about.
        beams: The number of beams of each user.
    """
    if LISTED not in rows:
        return Evaluation(summarise(rows, beams), rows, None)
    lists = _lists_of(rows[rows[LISTED].notna()], dataset)
    rows = rows.drop(columns=[LISTED, SCORES])
    rows = _with_list_values(_with_slices(rows, dataset), lists, dataset)
    return Evaluation(summarise(rows, beams), rows, lists)


def _lists_of(ranked: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """The recommended items of the rows of ranking tasks, one row each."""
    lengths = ranked[LISTED].map(len).to_numpy()
    listed = pd.DataFrame(
        {
            "task": ranked["task"].to_numpy().repeat(lengths),
            "user": ranked["user"].to_numpy().repeat(lengths),
            "rank": np.concatenate([np.arange(1, length + 1, dtype=np.int32) for length in lengths]),
            "item": np.concatenate(ranked[LISTED].tolist()).astype(np.int64),
            "score": np.concatenate(ranked[SCORES].tolist()).astype(np.float32),
        }
    )
    listed = listed[listed["item"].between(1, dataset.n_items)].astype({"item": np.int32}).reset_index(drop=True)
    for column, table in (("user", dataset.users), ("item", dataset.items)):
        codes, raw_ids = listed[column].to_numpy() - 1, pd.Index(table["raw_id"].tolist())
        listed[f"raw_{column}"] = pd.Categorical.from_codes(codes, raw_ids)
    return listed


def _with_slices(rows: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """The rows with the slices of the users who are asked for an item."""
    ranked = rows["rank"].notna()
    targets, users = (rows.loc[ranked, column].to_numpy() for column in ("item", "user"))
    rows.loc[ranked, "target_slice"] = slice_targets(targets, dataset.training_popularity)
    rows.loc[ranked, "history_slice"] = slice_histories(users, dataset.training_lengths)
    return rows


def _with_list_values(rows: pd.DataFrame, lists: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """The rows with the values of the metrics of each user's list, and the coverage of all lists."""
    first = lists.loc[lists["rank"] <= LIST_CUTOFF, ["task", "user", "item"]]
    items, counts = first["item"].to_numpy(), dataset.training_popularity
    values = {
        f"popularity_at_{LIST_CUTOFF}": popularity(items, counts),
        f"novelty_at_{LIST_CUTOFF}": self_information(items, counts),
    }
    per_user = first[["task", "user"]].assign(**values).groupby(["task", "user"])[list(values)].mean()
    covered = first.groupby("task")["item"].agg(lambda those: coverage(those.to_numpy(), dataset.n_items))
    return rows.join(per_user, on=["task", "user"]).assign(**{f"coverage_at_{LIST_CUTOFF}": rows["task"].map(covered)})
