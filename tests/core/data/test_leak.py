"""The detector hits where ids run along the histories, and only by chance where they do not."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.raw import raw_histories

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.leak import ANSWERS, measure_leak, next_numbers
from vip5core.data.raw import Provided

pytestmark = pytest.mark.slow


def dataset_of(
    folder: Path, histories: Mapping[str, Sequence[str]], numbers: Mapping[str, int] | None = None
) -> Dataset:
    raw = raw_histories(histories)
    options = BuildOptions(repeats="keep", candidates=5)
    if numbers is not None:
        raw.provided = Provided(item_ids=numbers)
        options = BuildOptions(repeats="keep", candidates=5, id_scheme="provided")
    return Dataset.load(build_dataset(raw, folder / "out", options))


def along(histories: Mapping[str, Sequence[str]], held_out: bool) -> dict[str, int]:
    """Numbers by first appearance, user by user."""
    parts = [history if held_out else history[:-2] for history in histories.values()]
    items = dict.fromkeys(item for part in [*parts, *histories.values()] for item in part)
    return {item: number for number, item in enumerate(items, start=1)}


def shoppers(n_users: int, n_items: int, seed: int = 0) -> dict[str, list[str]]:
    """Users who buy at random, so that nothing but their numbers tells the next item."""
    draw = random.Random(seed)
    names = [f"i{n}" for n in range(n_items)]
    return {f"u{n}": draw.sample(names, 8) for n in range(n_users)}


@pytest.mark.parametrize(
    ("largest", "last", "answers"),
    [
        (10, 4, [11, 5, 12, 6, 13]),
        (10, 10, [11, 12, 13, 14, 15]),
        (10, 9, [11, 10, 12, 13, 14]),
        (10, 8, [11, 9, 12, 10, 13]),
        (1, 1, [2, 3, 4, 5, 6]),
    ],
)
def test_the_answers_are_the_next_numbers_after_the_largest_and_the_last(
    largest: int, last: int, answers: list[int]
) -> None:
    assert next_numbers(largest, last) == answers
    assert len(answers) == ANSWERS


def test_what_is_hit_and_where_gives_the_rates(tmp_path: Path) -> None:
    items = [f"i{n:02d}" for n in range(1, 31)]
    # Histories of items 2, 4 and 3, after which 5, 4, 6, 7 and 8 are answered.
    targets = {"first": 5, "third": 6, "fourth": 7, "fifth": 8, "missed": 9, "behind": 1}
    histories = {user: [items[n - 1] for n in (2, 4, 3, target)] for user, target in targets.items()}
    histories["all"] = items
    numbers = {item: number for number, item in enumerate(items, start=1)}
    leak = measure_leak(dataset_of(tmp_path, histories, numbers))
    assert next_numbers(4, 3) == [5, 4, 6, 7, 8]
    places = [1, 3, 4, 5, 1]
    assert leak.hit_rate == pytest.approx(5 / 7)
    assert leak.ndcg == pytest.approx(sum(1 / math.log2(place + 1) for place in places) / 7)
    assert leak.chance == pytest.approx((6 * 5 / 27 + 1) / 7)


def test_ids_along_whole_histories_give_the_held_out_items_away(tmp_path: Path) -> None:
    histories = {f"u{n}": [f"i{n}-{step}" for step in range(6)] for n in range(30)}
    dataset = dataset_of(tmp_path, histories, along(histories, held_out=True))
    assert dataset.manifest.ids_leak
    for split in ("valid", "test"):
        leak = measure_leak(dataset, split)
        assert (leak.hit_rate, leak.ndcg) == (1.0, 1.0)
        assert leak.chance < 0.05


def test_a_shared_catalogue_leaks_less_but_far_above_chance(tmp_path: Path) -> None:
    histories = shoppers(300, 600)
    provided = measure_leak(dataset_of(tmp_path / "a", histories, along(histories, held_out=True)))
    training = measure_leak(dataset_of(tmp_path / "b", histories, along(histories, held_out=False)))
    assert provided.hit_rate > 10 * provided.chance
    assert provided.ndcg <= provided.hit_rate
    assert provided.hit_rate > 5 * training.hit_rate


def test_random_ids_are_hit_by_chance(tmp_path: Path) -> None:
    for split in ("valid", "test"):
        hits, expected = 0.0, 0.0
        for seed in range(3):
            histories = shoppers(400, 80, seed)
            leak = measure_leak(dataset_of(tmp_path / f"{split}{seed}", histories), split)
            hits += 400 * leak.hit_rate
            expected += 400 * leak.chance
        # Some answers lie beyond the catalogue, so that the detector is somewhat worse than chance.
        assert expected / 3 < hits < expected + 4 * expected**0.5


def test_split_by_time_the_users_who_are_asked_count(tmp_path: Path) -> None:
    # Items are numbered in the order in which everybody buys them, one every ten seconds; the newest comes late.
    histories = {f"u{n}": [f"i{step}" for step in range(10)] for n in range(5)} | {"late": ["i0", "i1"]}
    raw = raw_histories(histories)
    raw.interactions["timestamp"] = [10 * step for history in histories.values() for step in range(len(history))]
    raw.provided = Provided(item_ids={f"i{step}": step + 1 for step in range(10)})
    options = BuildOptions(candidates=5, id_scheme="provided", split="time", held_out=0.2)
    dataset = Dataset.load(build_dataset(raw, tmp_path / "out", options))
    assert (dataset.n_users, len(dataset.asked_users("test"))) == (6, 5)
    assert measure_leak(dataset).hit_rate == measure_leak(dataset, "valid").hit_rate == 1.0


def test_a_history_of_all_items_leaves_nothing_to_draw_from(tmp_path: Path) -> None:
    assert measure_leak(dataset_of(tmp_path, {"u": "abca", "v": "cabcb"})).chance == 0.0
