"""Negatives are drawn from all that a user has not seen in training, each set of them as often as any other."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare

from vip5core.prompts.negatives import Negatives

N_ITEMS = 7
SEEN = {1: [2, 5, 5], 2: [1, 2, 3, 4, 6, 7], 3: [7, 1], 4: [1, 2, 3, 4, 5, 6, 7]}


@pytest.fixture
def negatives() -> Negatives:
    users = np.repeat(list(SEEN), list(map(len, SEEN.values())))
    return Negatives(users, np.concatenate(list(SEEN.values())), len(SEEN), N_ITEMS)


def unseen(user: int) -> set[int]:
    return set(range(1, N_ITEMS + 1)) - set(SEEN[user])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("user", [1, 3])
def test_every_set_of_unseen_items_is_equally_likely(negatives: Negatives, user: int, count: int) -> None:
    drawn = negatives.draw(np.random.default_rng(0), np.full(6000, user), count)
    sets = Counter(tuple(sorted(row)) for row in drawn.tolist())
    possible = list(combinations(sorted(unseen(user)), count))
    assert set(sets) <= set(possible)
    assert chisquare([sets[case] for case in possible]).pvalue > 1e-3


def test_each_row_gets_negatives_of_its_own_user(negatives: Negatives) -> None:
    users = np.random.default_rng(1).integers(1, 4, 5000)  # more rows than are drawn at a time
    for user, (item,) in zip(users.tolist(), negatives.draw(np.random.default_rng(2), users, 1).tolist(), strict=True):
        assert item in unseen(user)


def test_a_user_who_has_seen_nearly_everything_gets_what_is_left(negatives: Negatives) -> None:
    assert negatives.available[1:].tolist() == [len(unseen(user)) for user in SEEN]
    users = np.array([1, 2, 3, 4] * 20)
    for user, row in zip(users.tolist(), negatives.draw(np.random.default_rng(0), users, 5).tolist(), strict=True):
        assert sorted(row) == sorted([*unseen(user), *[0] * (5 - len(unseen(user)))])
