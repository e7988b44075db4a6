"""Items of the same users become neighbours, in the same order every time; held-out interactions change nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.raw import raw_histories

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.clusters import order_by_clusters
from vip5core.data.co_occurrence import count_co_occurrences
from vip5core.data.dataset import Dataset

pytestmark = pytest.mark.slow


def items_named(count: int) -> pd.Series:
    return pd.Series([f"i{n:04d}" for n in range(count)])


def blocks(n_blocks: int, size: int, users: int, each: int, stray: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Users who have `each` items of one block, of which a share `stray` is replaced by items of any block.

    The items of a block are spread over the numbers, so that no order of names tells them."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_blocks * users):
        own = rng.permutation(size)[:each] * n_blocks + user % n_blocks
        others = rng.integers(0, n_blocks * size, each)
        chosen = np.where(rng.random(each) < stray, others, own)
        rows += [(f"u{user:04d}", f"i{item:04d}") for item in chosen]
    return pd.DataFrame(rows, columns=["user", "item"])


def share_of_like_neighbours(order: list[str], n_blocks: int) -> float:
    block = np.array([int(item[1:]) % n_blocks for item in order])
    return float((block[1:] == block[:-1]).mean())


@pytest.mark.parametrize("seed", [0, 1])
# Ten clusters of five blocks: some blocks are halved, and the halves need not stand together.
@pytest.mark.parametrize(("n_blocks", "size", "least"), [(5, 8, 0.6), (8, 30, 0.9), (12, 50, 0.9)])
def test_planted_blocks_come_out_as_neighbours(n_blocks: int, size: int, least: float, seed: int) -> None:
    items = items_named(n_blocks * size)
    order = list(order_by_clusters(items, blocks(n_blocks, size, users=40, each=min(size, 10), stray=0.02), seed))
    assert sorted(order) == items.tolist()
    assert share_of_like_neighbours(order, n_blocks) > least
    assert share_of_like_neighbours(items.tolist(), n_blocks) == 0


def test_parts_that_no_user_joins_are_not_mixed() -> None:
    items = items_named(7 * 20)
    order = list(order_by_clusters(items, blocks(7, 20, users=30, each=8), 0))
    assert share_of_like_neighbours(order, 7) == (7 * 20 - 7) / (7 * 20 - 1)


def test_a_path_leads_through_the_clusters_of_an_item() -> None:
    items = items_named(70)
    paths = order_by_clusters(items, blocks(3, 20, users=30, each=8), 0)  # items 60 to 69 are nobody's
    first = {raw: path[:1] for raw, path in paths.items()}
    assert len(set(first.values())) == 4
    for block in range(3):
        assert len({first[f"i{n:04d}"] for n in range(block, 60, 3)}) == 1
    assert {paths[f"i{n:04d}"] for n in range(60, 70)} == {()}
    assert list(paths.values())[:60] == sorted(list(paths.values())[:60])  # the order is that of the paths


def test_items_that_nobody_has_come_last_in_an_order_of_the_seed() -> None:
    items = items_named(60)
    training = blocks(2, 20, users=20, each=6)  # items 0 to 39
    orders = {seed: list(order_by_clusters(items, training, seed)) for seed in range(3)}
    for order in orders.values():
        assert sorted(order) == items.tolist()
        assert set(order[40:]) == set(items[40:])
        assert order[40:] != sorted(order[40:])
    assert len({tuple(order[40:]) for order in orders.values()}) == 3


@pytest.mark.parametrize("rows", [[], [("u", "i0001")], [("u", "i0001"), ("u", "i0001")]])
def test_little_or_no_training_gives_an_order_all_the_same(rows: list[tuple[str, str]]) -> None:
    items = items_named(30)
    order = list(order_by_clusters(items, pd.DataFrame(rows, columns=["user", "item"], dtype="str"), 0))
    assert sorted(order) == items.tolist()
    if rows:
        assert order[0] == "i0001"


def test_co_occurrence_counts_the_users_who_have_both() -> None:
    rows = [("u", 0), ("u", 1), ("u", 1), ("v", 1), ("v", 0), ("v", 3), ("w", 2)]
    users, items = zip(*rows, strict=True)
    together = count_co_occurrences(np.array(items), pd.factorize(np.array(users))[0], 5)
    expected = np.zeros((5, 5))
    for one, other, count in ((0, 1, 2), (0, 3, 1), (1, 3, 1)):
        expected[one, other] = expected[other, one] = count
    np.testing.assert_array_equal(together.toarray(), expected)


def hub(count: int) -> list[tuple[str, str]]:
    """One item that everybody has, each with one other."""
    return [(f"u{n}", f"i{item:04d}") for n in range(1, count) for item in (0, n)]


def one_user(count: int) -> list[tuple[str, str]]:
    """All items stand together equally often, so that no direction is better than another."""
    return [("u", f"i{n:04d}") for n in range(count)]


def ring(count: int) -> list[tuple[str, str]]:
    return [(f"u{n}", f"i{(n + step) % count:04d}") for n in range(count) for step in range(3)]


# Below and above the size from which only some eigenvectors are computed.
@pytest.mark.parametrize("count", [60, pytest.param(450, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", [hub, one_user, ring])
def test_a_graph_without_a_best_cut_has_one_order_still(
    shape: Callable[[int], list[tuple[str, str]]], count: int
) -> None:
    training = pd.DataFrame(shape(count), columns=["user", "item"])
    orders = {tuple(order_by_clusters(items_named(count), training, 0).items()) for _ in range(3)}
    assert len(orders) == 1
    assert sorted(raw for raw, _ in next(iter(orders))) == items_named(count).tolist()


def test_held_out_interactions_have_no_influence(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {f"u{n:02d}": [f"i{item:02d}" for item in rng.permutation(40)[:6]] for n in range(40)}
    numbers = []
    for ending in (slice(0, 2), slice(2, 4)):
        free = {user: sorted({f"i{n:02d}" for n in range(40)} - set(part)) for user, part in parts.items()}
        histories = {user: part + rng.permutation(free[user])[ending].tolist() for user, part in parts.items()}
        path = tmp_path / str(len(numbers))
        items = Dataset.load(
            build_dataset(raw_histories(histories), path, BuildOptions(id_scheme="collaborative"))
        ).items
        numbers.append(dict(zip(items["raw_id"], items["item"], strict=True)))
    assert numbers[0] == numbers[1]


@pytest.mark.slow
def test_the_order_is_the_same_with_one_and_two_threads_and_in_every_process() -> None:
    script = (
        "import hashlib\n"
        "import numpy as np, pandas as pd\n"
        "from vip5core.data.clusters import order_by_clusters\n"
        "rng = np.random.default_rng(0)\n"
        "users = np.repeat(np.arange(1500), 8)\n"
        "items = (rng.integers(0, 900, len(users)) + users // 2) % 900\n"
        "training = pd.DataFrame({'user': users.astype(str), 'item': items.astype(str)})\n"
        "order = order_by_clusters(pd.Series([str(n) for n in range(900)]), training, 0)\n"
        "print(hashlib.sha256(' '.join(order).encode()).hexdigest())\n"
    )
    seen = set()
    for threads, hash_seed in (("1", "0"), ("2", "1"), ("2", "2")):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        env = {**os.environ, **dict.fromkeys(names, threads), "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        seen.add(done.stdout)
    assert len(seen) == 1
    assert len(seen.pop().strip()) == hashlib.sha256().digest_size * 2
