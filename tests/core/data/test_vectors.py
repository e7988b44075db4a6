"""Vectors from co-occurrence: items that the same users have are alike, and held-out items leave no trace."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse.linalg
from numpy.testing import assert_allclose, assert_array_equal

from vip5core.data import co_occurrence, vectors
from vip5core.data.dataset import Dataset
from vip5core.data.sources import prepare
from vip5core.data.vectors import item_vectors, user_vectors
from vip5core.home import Home


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.load(prepare("minimart:200", None, Home(Path(tmp_path_factory.mktemp("home")))))


def with_other_held_out_items(dataset: Dataset) -> Dataset:
    rows = dataset.interactions.copy()
    held_out = rows["split"] != "train"
    rows.loc[held_out, "item"] = rows.loc[held_out, "item"] % dataset.n_items + 1
    return dataclasses.replace(dataset, interactions=rows)


@pytest.mark.slow
def test_they_depend_on_the_training_part_alone(shop: Dataset) -> None:
    other = with_other_held_out_items(shop)
    items = item_vectors(shop, 16, seed=0)
    assert_array_equal(items, item_vectors(other, 16, seed=0))
    assert_array_equal(user_vectors(shop, items, 0), user_vectors(other, items, 0))


def test_products_of_vectors_are_the_best_approximation_of_the_scaled_co_occurrence(shop: Dataset) -> None:
    training = shop.interactions[shop.interactions["split"] == "train"]
    has = np.zeros((shop.n_users + 1, shop.n_items + 1))
    has[training["user"], training["item"]] = 1
    together = (has.T @ has)[1:, 1:]
    np.fill_diagonal(together, 0)
    popularity = np.maximum(has.sum(axis=0)[1:], 1)
    together /= np.sqrt(np.outer(popularity, popularity))
    values, columns = np.linalg.eigh(together)
    best = (columns[:, -8:] * values[-8:]) @ columns[:, -8:].T
    found = item_vectors(shop, 8, seed=0)[1:]
    products = found @ found.T
    assert_allclose(products * np.trace(best) / np.trace(products), best, atol=1e-8)


def test_no_column_is_special_and_the_seed_turns_them(shop: Dataset) -> None:
    first, second = (item_vectors(shop, 16, seed)[1:] for seed in (0, 1))
    assert_allclose(first @ first.T, second @ second.T, atol=1e-8)
    assert abs(first - second).max() > 0.5
    assert (first**2).mean() == pytest.approx(1)
    assert (first**2).mean(axis=0).max() < 5  # one eigenvector alone has several times the mean


def test_a_large_catalogue_takes_only_the_largest_eigenvalues(shop: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = item_vectors(shop, 8, seed=0)
    calls = []
    solve = scipy.sparse.linalg.eigsh
    monkeypatch.setattr(co_occurrence, "eigsh", lambda *given, **named: calls.append(given) or solve(*given, **named))
    monkeypatch.setattr(vectors, "_DENSE", 10)
    large = item_vectors(shop, 8, seed=0)
    assert_allclose(large @ large.T, exact @ exact.T, atol=1e-6)
    assert len(calls) == 1


def test_more_columns_than_items_and_items_that_nobody_has(shop: Dataset) -> None:
    rows = shop.interactions.copy()
    rows.loc[rows["item"] == 5, "split"] = "valid"
    wide = item_vectors(dataclasses.replace(shop, interactions=rows), shop.n_items + 20, seed=0)
    assert wide.shape == (shop.n_items + 1, shop.n_items + 20)
    assert np.isfinite(wide).all()
    assert wide[1:].any(axis=1).all()
    assert not wide[0].any()


def test_users_without_a_past_start_at_random(shop_by_time: Dataset) -> None:
    items = item_vectors(shop_by_time, 16, seed=0)
    one, again, other = (user_vectors(shop_by_time, items, seed) for seed in (0, 0, 1))
    assert_array_equal(one, again)
    new = np.flatnonzero(shop_by_time.training_lengths == 0)[1:]
    assert len(new)
    assert sorted(np.flatnonzero((one != other).any(axis=1))) == new.tolist()
    assert one[1:].any(axis=1).all()
    assert not one[0].any()


def test_a_user_is_where_the_newest_items_are(shop: Dataset) -> None:
    items = item_vectors(shop, 16, seed=0)
    users = user_vectors(shop, items, 0)
    assert users.shape == (shop.n_users + 1, 16)
    assert (users[1:] ** 2).mean() == pytest.approx(1)
    history = shop.before(7, "valid")
    weights = 0.9 ** np.arange(len(history))[::-1]
    mean = weights @ items[history] / weights.sum()
    assert_allclose(np.corrcoef(users[7], mean)[0, 1], 1)
