"""Lists in files: every format says the same, an interrupted run continues, and nothing half-written is left."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.serving import (
    Histories,
    ModelFiles,
    Recommender,
    histories_of,
    number_histories,
    recommend_to_file,
    to_file,
)


@pytest.fixture(scope="module")
def recommender(trained: ModelFiles) -> Recommender:
    return Recommender(trained)


@pytest.fixture
def histories(shop: Dataset, monkeypatch: pytest.MonkeyPatch) -> Histories:
    monkeypatch.setattr(to_file, "USERS_PER_PART", 15)  # three parts
    return number_histories(histories_of(shop), shop)


@pytest.mark.slow
def test_every_format_says_the_same(recommender: Recommender, histories: Histories, tmp_path: Path) -> None:
    expected = recommender.rank(histories, 3)
    files = [tmp_path / f"lists{ending}" for ending in (".parquet", ".csv", ".jsonl")]
    for file in files:
        assert recommend_to_file(recommender, histories, 3, file) == 40
    text = {"user": str, "item": str}
    read = [
        pd.read_parquet(files[0]),
        pd.read_csv(files[1], dtype=text),
        pd.read_json(files[2], lines=True, dtype=text),
    ]
    for lists in read:
        pd.testing.assert_frame_equal(lists, expected, check_dtype=False, rtol=1e-4)
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_an_interrupted_run_continues(recommender: Recommender, histories: Histories, tmp_path: Path) -> None:
    out = tmp_path / "lists.csv"

    def stop(done: int, total: int, news: str = "") -> None:
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recommend_to_file(recommender, histories, 3, out, stop)
    assert not out.exists()
    told: list[int] = []
    assert recommend_to_file(recommender, histories, 3, out, lambda done, total, news="": told.append(done)) == 10
    assert told == [15, 30, 40]
    recommend_to_file(recommender, histories, 3, tmp_path / "again.csv")
    assert out.read_bytes() == (tmp_path / "again.csv").read_bytes()


def test_parts_of_another_question_are_not_taken(
    recommender: Recommender, histories: Histories, tmp_path: Path
) -> None:
    def stop(done: int, total: int, news: str = "") -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recommend_to_file(recommender, histories, 3, tmp_path / "lists.csv", stop)
    assert recommend_to_file(recommender, histories, 4, tmp_path / "lists.csv") == 40
    assert pd.read_csv(tmp_path / "lists.csv")["rank"].max() == 4


def test_nothing_is_computed_for_a_file_that_cannot_be_written(
    recommender: Recommender, histories: Histories, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"must end in .parquet, .csv, .jsonl"):
        recommend_to_file(recommender, histories, 3, tmp_path / "lists.xlsx")
    with pytest.raises(UserError, match="nothing to recommend"):
        recommend_to_file(recommender, Histories([], [], histories.unknown_items, ["a"]), 3, tmp_path / "lists.csv")
    assert list(tmp_path.iterdir()) == []
