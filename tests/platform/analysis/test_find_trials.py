"""`vip5 compare`: runs by the names that people have for them, and the paired test between them."""

from __future__ import annotations

import numpy as np
import pytest
from support.finished import NDCG, finished_trial
from support.trials import small
from vip5platform.analysis.find_trials import load_runs, units_of
from vip5platform.cli.vip5 import main

from vip5core.errors import UserError


def names(results) -> list[str]:
    return [result.folder.name for result in results]


def test_a_trial_goes_by_its_fingerprint_its_beginning_or_its_folder(tmp_path):
    for name in ("abc1", "abd2"):
        finished_trial(tmp_path, name, [1])
    for given in ("abc1", "abc", str(tmp_path / "trials" / "abc1")):
        assert names(load_runs([given], tmp_path, None)) == ["abc1"]
    with pytest.raises(UserError, match="run 'ab': 2 trials begin so"):
        load_runs(["ab"], tmp_path, None)
    with pytest.raises(UserError, match=r"run 'xyz': no finished trial .* say --home"):
        load_runs(["xyz"], tmp_path, None)
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["/nowhere/at/all"], "no finished trial"),
        ([""], "names no run"),
        (["a", "b"], "differ in reduction_factor, not in their seeds alone"),
        (["a", "a"], "two runs have the same seed"),
        (["torn"], "holds no trial that can be read"),
    ],
)
def test_what_is_no_setting_with_several_seeds_is_refused(tmp_path, given, says):
    finished_trial(tmp_path, "a", [1])
    finished_trial(tmp_path, "b", [1], config=small(reduction_factor=2, seed=1))
    (tmp_path / "trials" / "torn").mkdir()
    (tmp_path / "trials" / "torn" / "result.json").write_text('{"config": {"unknown": 1}}')
    with pytest.raises(UserError, match=says):
        load_runs(given, tmp_path, None)


def test_rows_that_are_gone_are_a_users_error(tmp_path):
    run = finished_trial(tmp_path, "a", [1])
    (run.folder / "per_user.parquet").unlink()
    with pytest.raises(UserError, match="per-user results"):
        units_of([run], NDCG)


def test_what_has_no_value_per_user_cannot_be_compared(tmp_path):
    with pytest.raises(UserError, match="has no value per user; choose among"):
        units_of([finished_trial(tmp_path, "a", [1])], "cost/seconds")


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    seen = capsys.readouterr()
    return int(left.value.code), " ".join(seen.out.split()), seen.err


def test_a_clear_difference_is_found_and_its_settings_named(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for seed in range(3):
        good, bad = rng.integers(1, 4, 200), rng.integers(5, 30, 200)
        finished_trial(tmp_path, f"a{seed}", good, config=small(seed=seed))
        finished_trial(tmp_path, f"b{seed}", bad, config=small(seed=seed, reduction_factor=4))
    code, said, _ = run(capsys, "compare", "a0,a1,a2", "b0,b1,b2", "--home", tmp_path, "--metric", NDCG)
    assert code == 0
    assert "reduction_factor: 8 against 4" in said
    assert "sequential/ndcg_at_10" in said
    assert "One seed" not in said
    code, said, _ = run(capsys, "compare", "a0", "b0", "--home", tmp_path)
    assert "One seed: this compares these two trained models" in said
    assert "hit_rate_at_10" in said


def test_mistakes_are_told_in_a_line(tmp_path, capsys):
    finished_trial(tmp_path, "a0", [1, 2, 3])
    finished_trial(tmp_path, "a1", [1, 2])
    assert "two runs have the same seed" in run(capsys, "compare", "a0,a1", "a1", "--home", tmp_path)[2]
    code, _, errors = run(capsys, "compare", "a0", "a1", "--home", tmp_path)
    assert code == 2
    assert "the same dataset and test users" in errors
    code, _, errors = run(capsys, "compare", "a0", "a0", "--home", tmp_path, "--metric", "test/nothing")
    assert "has no value per user" in errors
