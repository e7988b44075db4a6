"""`vip5 compare`: runs by the names that people have for them, and the paired test between them."""

from __future__ import annotations

import numpy as np
import pytest
from support.finished import NDCG, finished_trial
from support.trials import small
from vip5platform.analysis.find_trials import load_runs, units_of
from vip5platform.cli.vip5 import main

from vip5core.errors import UserError
from vip5core.home import Home


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def names(results) -> list[str]:
    return [result.folder.name for result in results]


def test_a_trial_goes_by_its_fingerprint_its_beginning_or_its_folder(home):
    for name in ("abc1", "abd2"):
        finished_trial(home, name, [1])
    for given in ("abc1", "abc", str(home.trial("abc1"))):
        assert names(load_runs([given], home, None)) == ["abc1"]
    with pytest.raises(UserError, match="run 'ab': ambiguous prefix of 2 trials"):
        load_runs(["ab"], home, None)
    with pytest.raises(UserError, match=r"run 'xyz': neither a finished trial .* give the right --home"):
        load_runs(["xyz"], home, None)
    assert not home.mlflow_database.exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["/nowhere/at/all"], "neither a finished trial"),
        ([""], "names no run"),
        (["a", "b"], "differ in reduction_factor: each side must be runs of one level"),
        (["a", "a"], "two runs have the same seed"),
        (["torn"], "contains no readable trial"),
    ],
)
def test_what_is_no_setting_with_several_seeds_is_refused(home, given, says):
    finished_trial(home, "a", [1])
    finished_trial(home, "b", [1], config=small(reduction_factor=2, seed=1))
    home.trial("torn").mkdir()
    (home.trial("torn") / "result.json").write_text('{"config": {"unknown": 1}}')
    with pytest.raises(UserError, match=says):
        load_runs(given, home, None)


def test_rows_that_are_gone_are_a_users_error(home):
    run = finished_trial(home, "a", [1])
    (run.folder / "per_user.parquet").unlink()
    with pytest.raises(UserError, match="per-user results"):
        units_of([run], NDCG)


def test_what_has_no_value_per_user_cannot_be_compared(home):
    with pytest.raises(UserError, match="has no value per user; choose among"):
        units_of([finished_trial(home, "a", [1])], "cost/seconds")


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    seen = capsys.readouterr()
    return int(left.value.code), " ".join(seen.out.split()), seen.err


def test_a_clear_difference_is_found_and_its_settings_named(home, capsys):
    rng = np.random.default_rng(0)
    for seed in range(3):
        good, bad = rng.integers(1, 4, 200), rng.integers(5, 30, 200)
        finished_trial(home, f"a{seed}", good, config=small(seed=seed))
        finished_trial(home, f"b{seed}", bad, config=small(seed=seed, reduction_factor=4))
    code, said, _ = run(capsys, "compare", "a0,a1,a2", "b0,b1,b2", "--home", home, "--metric", NDCG)
    assert code == 0
    assert "reduction_factor: 8 vs. 4" in said
    assert "sequential/ndcg_at_10" in said
    assert "One seed" not in said
    code, said, _ = run(capsys, "compare", "a0", "b0", "--home", home)
    assert "One seed: this compares these two trained models" in said
    assert "hit_rate_at_10" in said


def test_mistakes_are_told_in_a_line(home, capsys):
    finished_trial(home, "a0", [1, 2, 3])
    finished_trial(home, "a1", [1, 2])
    assert "two runs have the same seed" in run(capsys, "compare", "a0,a1", "a1", "--home", home)[2]
    code, _, errors = run(capsys, "compare", "a0", "a1", "--home", home)
    assert code == 2
    assert "the same dataset and test users" in errors
    code, _, errors = run(capsys, "compare", "a0", "a0", "--home", home, "--metric", "cost/seconds")
    assert code == 2
    assert "has no value per user" in errors
    code, _, errors = run(capsys, "compare", "a0", "a0", "--home", home, "--metric", "test/sequential/ndgc_at_10")
    assert code == 2
    assert "did you mean 'test/sequential/ndcg_at_10'" in errors
