"""Recommendations: the lists of the trial's own test, for any histories, in the ids of the source."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file
from support.trained import train_in

from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.serving import ModelFiles, Recommender, histories_of
from vip5core.trial.result import WEIGHTS, TrialResult


@pytest.fixture(scope="module")
def recommender(trained: ModelFiles) -> Recommender:
    return Recommender(trained)


def before_the_test(shop: Dataset) -> pd.DataFrame:
    """The histories that the test of a trial shows."""
    table = histories_of(shop)
    return table[table.duplicated("user", keep="last")]


def test_the_histories_of_the_test_get_the_ranks_of_the_test(
    recommender: Recommender, trained: ModelFiles, shop: Dataset
) -> None:
    lists = recommender.recommend(before_the_test(shop), k=10)
    raw_users, raw_items = (frame["raw_id"].to_numpy() for frame in (shop.users, shop.items))
    rank_of = dict(zip(zip(lists["user"], lists["item"], strict=True), lists["rank"], strict=True))
    tested = TrialResult.load(trained.trial).per_user.query("task == 'sequential'")
    ranks = [
        rank_of.get((raw_users[row.user - 1], raw_items[row.item - 1]), 0) for row in tested.itertuples(index=False)
    ]
    assert ranks == tested["rank"].tolist()
    assert sum(rank > 0 for rank in ranks) > 3


def test_lists_are_sorted_by_probability_and_leave_the_history_out(recommender: Recommender, shop: Dataset) -> None:
    histories = histories_of(shop)
    lists = recommender.recommend(histories, k=5)
    assert lists.groupby("user")["rank"].apply(list).map(lambda ranks: ranks == [1, 2, 3, 4, 5]).all()
    assert lists["user"].drop_duplicates().tolist() == histories["user"].drop_duplicates().tolist()
    assert (lists.groupby("user")["score"].diff().dropna() <= 0).all()
    assert lists.groupby("user")["score"].agg(lambda scores: np.exp(scores).sum()).between(0, 1 + 1e-5).all()
    assert lists.merge(histories, on=["user", "item"]).empty


@pytest.mark.slow
def test_a_model_that_is_tested_on_all_items_also_recommends_what_users_have(trained_home: Home, shop: Dataset) -> None:
    model = Recommender(train_in(trained_home, exclude_history=False, protocol="paper", test_users=2))
    histories = histories_of(shop)
    lists = model.recommend(histories, k=shop.n_items)
    assert len(lists) == shop.n_users * shop.n_items
    assert len(lists.merge(histories.drop_duplicates(), on=["user", "item"])) == len(histories.drop_duplicates())


def test_order_is_that_of_time_and_counts(recommender: Recommender, shop: Dataset) -> None:
    histories = before_the_test(shop)
    timed = histories.assign(time=np.arange(len(histories)) * 1000 + 1_600_000_000)
    shuffled = timed.sample(frac=1.0, random_state=0)
    expected = recommender.recommend(histories)
    found = recommender.recommend(shuffled)
    pd.testing.assert_frame_equal(
        found.sort_values(["user", "rank"], ignore_index=True),
        expected.sort_values(["user", "rank"], ignore_index=True),
    )
    assert not recommender.recommend(shuffled.drop(columns="time"))["score"].equals(found["score"])


def test_a_stranger_gets_a_list_and_a_known_user_their_own(recommender: Recommender, shop: Dataset) -> None:
    histories = histories_of(shop, shop.users["raw_id"].head(1))
    mine, strangers = (
        recommender.recommend(histories.assign(user=user)) for user in (histories["user"].iloc[0], "nobody")
    )
    assert strangers["user"].unique().tolist() == ["nobody"]
    assert len(strangers) == len(mine) == 20
    assert not strangers["score"].equals(mine["score"])


def test_a_model_without_the_task_is_refused(trained_home: Home) -> None:
    with pytest.raises(UserError, match="was not trained to name next items"):
        Recommender(train_in(trained_home, tasks=("direct",), test_users=2))


def test_trained_parameters_that_are_not_whole_are_refused(trained: ModelFiles, tmp_path: Path) -> None:
    trial = shutil.copytree(trained.trial, tmp_path / "trial")
    weights = load_file(trial / WEIGHTS)
    lost = next(iter(weights))
    del weights[lost]
    save_file(weights, trial / WEIGHTS)
    with pytest.raises(UserError, match=f"its trained parameters lack '{re.escape(lost)}', which its settings train"):
        Recommender(dataclasses.replace(trained, trial=trial))


@pytest.mark.parametrize("k", [0, 61])
def test_an_impossible_length_is_refused(recommender: Recommender, shop: Dataset, k: int) -> None:
    with pytest.raises(UserError, match=f"k={k}: must be between 1 and the number of items, 60"):
        recommender.recommend(histories_of(shop), k)
