"""Lists are compared by the same features, whatever the numbers of their items."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.finished import finished_trial
from vip5platform.analysis.image_similarity import ImageSpace, find_space

from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import create_features, finish_store
from vip5core.home import Home
from vip5core.trial.result import TrialResult

NAME = "test/sequential/image_similarity_at_10"


def lists(of_users: dict[int, list[str]], task: str = "sequential") -> pd.DataFrame:
    rows = [(task, user, rank, raw) for user, items in of_users.items() for rank, raw in enumerate(items, start=1)]
    return pd.DataFrame(rows, columns=["task", "user", "rank", "raw_item"]).astype({"raw_item": "category"})


@pytest.fixture
def space() -> ImageSpace:
    """Items a and b look the same, c is their opposite, and d has no image."""
    return ImageSpace("RN50", np.array([[0, 0], [1, 0], [1, 0], [-1, 0], [0, 0]], float), pd.Index(list("abcd")))


def test_it_is_the_mean_over_users_of_the_mean_cosine_of_pairs(space: ImageSpace) -> None:
    assert space.similarities(lists({1: ["a", "b"]})) == {NAME: pytest.approx(1.0)}
    assert space.similarities(lists({5: ["a", "b"], 2: ["a", "b", "c"]})) == {NAME: pytest.approx((1 - 1 / 3) / 2)}


def test_items_without_an_image_and_those_beyond_the_cutoff_do_not_count(space: ImageSpace) -> None:
    assert space.similarities(lists({1: ["a", "d", "b"]})) == {NAME: pytest.approx(1.0)}
    assert space.similarities(lists({1: ["a", *["d"] * 8, "b", "c"]})) == {NAME: pytest.approx(1.0)}
    assert space.similarities(lists({1: ["d", "a"], 2: ["a", "b"]})) == {NAME: pytest.approx(1.0)}
    assert space.similarities(lists({1: ["d", "a"]})) == {}
    assert space.similarities(None) == {}


def test_many_users_are_sampled(space: ImageSpace) -> None:
    many = lists({user: ["a", "b"] if user % 2 else ["a", "c"] for user in range(1, 5001)})
    assert space.similarities(many)[NAME] == pytest.approx(0.0, abs=5 / math.sqrt(2000))


def test_the_features_are_those_of_the_first_trial_that_has_some(shop: Dataset, tmp_path: Path) -> None:
    home = Home(tmp_path)
    store = home.features / "f1"
    store.mkdir(parents=True)
    features = create_features(store, shop.n_items, 2)
    features[1:] = np.arange(2 * shop.n_items).reshape(-1, 2)
    features[3] = 0  # as a store has it for an item without an image
    finish_store(store, features, {3: "no image"}, {}, "f1")

    def with_features(name: str, features: str | None) -> TrialResult:
        result = finished_trial(home, name, [1])
        return replace(result, record=result.record.model_copy(update={"features": features}))

    text_only, lost, found = (with_features(*of) for of in (("a", None), ("b", "gone"), ("c", "f1")))
    assert find_space([(text_only, shop), (lost, shop), (found, None)], home) is None
    space = find_space([(text_only, shop), (lost, shop), (found, shop)], home)
    assert space is not None
    assert space.encoder == found.config.encoder
    assert space.raw_ids.tolist() == shop.items["raw_id"].tolist()
    assert not space.directions[3].any()
    assert np.linalg.norm(np.delete(space.directions, [0, 3], axis=0), axis=1) == pytest.approx(1)
    assert space.directions[1] @ space.directions[-1] == pytest.approx(-1)  # one is below the mean, one above
