"""Items alike share codes, coarse ones first, and what shares all of them is told apart."""

from __future__ import annotations

import numpy as np

from vip5core.data.semantic_codes import residual_codes, share_of_collisions, tell_apart


def planted(groups: int, parts: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of far groups, each of near parts, and the group and part of each vector."""
    rng = np.random.default_rng(0)
    truth = np.array([(g, p) for g in range(groups) for p in range(parts) for _ in range(each)])
    far, near = 10 * rng.normal(size=(groups, 6)), rng.normal(size=(groups, parts, 6))
    noise = 1e-3 * rng.normal(size=(len(truth), 6))
    return far[truth[:, 0]] + near[truth[:, 0], truth[:, 1]] + noise, truth


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


def test_the_first_code_is_the_group_and_the_next_ones_find_the_part_in_it() -> None:
    vectors, truth = planted(groups=4, parts=4, each=10)
    codes, centres = residual_codes(vectors, seed=0, levels=3, most_codes=4)
    assert centres == [4, 4, 4]
    assert same_partition(codes[:, 0], truth[:, 0])
    found = np.unique(codes, axis=0, return_inverse=True)[1]
    parts = truth[:, 0] * 4 + truth[:, 1]
    assert sum(len(set(parts[found == code])) == 1 for code in np.unique(found)) >= 0.9 * len(np.unique(found))


def test_the_catalogue_bounds_the_codes() -> None:
    rng = np.random.default_rng(0)
    assert residual_codes(rng.normal(size=(5, 3)), seed=0)[1] == [2, 2, 2]
    assert residual_codes(rng.normal(size=(200, 3)), seed=0)[1] == [20, 20, 20]
    alike = np.repeat(rng.normal(size=(2, 3)), 50, axis=0)
    codes, centres = residual_codes(alike, seed=0)
    assert centres == [2, 1, 1]  # nothing is left after the first level
    assert share_of_collisions(codes) == 1.0


def test_codes_are_the_same_every_time_and_follow_the_seed() -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 8))
    first, again, other = (residual_codes(vectors, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_items_with_the_same_codes_are_numbered_in_seeded_order() -> None:
    codes = np.array([[0, 1], [0, 1], [2, 1], [0, 1], [2, 0]])
    numbers = {seed: tell_apart(codes, seed) for seed in range(6)}
    for found in numbers.values():
        assert sorted(found[[0, 1, 3]]) == [0, 1, 2]
        assert found[2] == found[4] == 0
    assert len({tuple(found) for found in numbers.values()}) > 1
    assert share_of_collisions(codes) == 3 / 5
