"""Trials under Ray Tune: in process, as a worker group, and proposed by Optuna."""

from __future__ import annotations

import optuna
import pytest
from support.trials import SMALL, small
from vip5platform.fleet import Share, reason_of, run_search, run_trials
from vip5platform.search import optuna_search
from vip5platform.session import Resources

from vip5core.errors import UserError
from vip5core.trial import TrialResult


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.epochs: list[tuple[str, float]] = []
        self.results: dict[str, TrialResult] = {}
        self.failures: dict[str, str] = {}

    def started(self, spec) -> None:
        pass

    def epoch(self, spec, metrics) -> None:
        assert not any(name.startswith("test/") for name in metrics)
        self.epochs.append((spec.fingerprint, metrics["epoch"]))

    def finished(self, spec, result) -> None:
        self.results[spec.fingerprint] = result

    def failed(self, spec, reason) -> None:
        self.failures[spec.fingerprint] = reason


@pytest.mark.slow
def test_a_worker_group_learns_what_one_worker_learns(text_only, tmp_path, ray_two_cpus):
    config = small(batch_size=32)
    spec = text_only.spec(config)
    results = {}
    for workers in (1, 2):
        inputs = type(text_only)(tmp_path / str(workers), text_only.dataset, text_only.backbone, {})
        seen = Recorder()
        share = Share.of(ray_two_cpus, trials=1, workers=workers)
        run_trials([inputs.spec(config)], inputs.home, share, 1, seen)
        assert seen.failures == {}
        assert [epoch for _, epoch in seen.epochs] == [1.0, 2.0]
        results[workers] = seen.results[spec.fingerprint]
        assert results[workers].record["workers"] == workers
    for one, two in zip(results[1].history, results[2].history, strict=True):
        assert one["valid/loss"] == pytest.approx(two["valid/loss"], abs=1e-3)
        assert one["train/loss"] == pytest.approx(two["train/loss"], abs=1e-3)
    users = [results[n].per_user[["task", "user", "item"]].reset_index(drop=True) for n in (1, 2)]
    assert users[0].equals(users[1])


@pytest.mark.slow
def test_a_trial_that_fails_is_told_in_a_line_and_the_others_go_on(text_only, ray_two_cpus):
    seen = Recorder()
    good, bad = small(), small(learning_rate=1e30, tuning="full", clip=1e30)
    specs = [text_only.spec(bad), text_only.spec(good)]
    run_trials(specs, text_only.home, Share(1, 1, 0), 1, seen)
    assert list(seen.results) == [text_only.spec(good).fingerprint]
    (reason,) = seen.failures.values()
    assert reason.startswith("DivergedError: the training loss is nan in epoch")
    assert not text_only.spec(bad).finished(text_only.home)


@pytest.mark.slow
def test_optuna_proposes_trials_and_sees_validation_only(text_only, ray_two_cpus):
    seen = Recorder()
    space = {
        "reduction_factor": optuna.distributions.CategoricalDistribution([2, 4]),
        "learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
    }
    searcher = optuna_search(space, ["valid/loss"], seed=1)
    run_search(SMALL, searcher, 3, text_only, Share(1, 1, 0), 1, seen)
    assert len(seen.results) == 3
    trials = searcher._ot_study.trials
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE] * 3
    told = sorted(trial.value for trial in trials)
    assert told == pytest.approx(sorted(result.history[-1]["valid/loss"] for result in seen.results.values()))
    assert len({result.config.learning_rate for result in seen.results.values()}) == 3


@pytest.mark.parametrize(
    ("space", "objectives", "says"),
    [
        ({}, ["test/sequential/ndcg_at_10"], "may look at validation only"),
        ({}, [], "needs at least one objective"),
        ({"reduction_facter": None}, ["valid/loss"], "did you mean 'reduction_factor'"),
        ({}, ["valid/nonsense"], "unknown metric"),
    ],
)
def test_a_search_that_peeks_or_misspells_is_refused(space, objectives, says):
    with pytest.raises(UserError, match=says):
        optuna_search(space, objectives)


@pytest.mark.parametrize(
    ("resources", "trials", "workers", "gpus", "expected", "at_once"),
    [
        (Resources(2, 0), 5, 1, None, Share(1, 1, 0.0), 2),
        (Resources(16, 0), 5, 1, None, Share(1, 3, 0.0), 5),
        (Resources(2, 0), 1, 2, None, Share(2, 1, 0.0), 1),
        (Resources(16, 1), 5, 1, None, Share(1, 16, 1.0), 1),
        (Resources(16, 1), 5, 1, 0.25, Share(1, 4, 0.25), 4),
        (Resources(16, 4), 2, 2, 1.0, Share(2, 4, 1.0), 2),
    ],
)
def test_trials_share_what_there_is(resources, trials, workers, gpus, expected, at_once):
    share = Share.of(resources, trials, workers, gpus)
    assert share == expected
    assert share.at_once(resources) == at_once


@pytest.mark.parametrize(("workers", "gpus"), [(0, None), (1, -1.0), (1, float("nan")), (3, None)])
def test_impossible_shares_are_refused(workers, gpus):
    with pytest.raises(UserError, match=r"must|there are"):
        Share.of(Resources(2, 0), 1, workers, gpus)


def test_a_failures_reason_is_its_innermost_error_in_one_line():
    def wrapped() -> None:
        try:
            raise ValueError("first line\nsecond line")
        except ValueError as inner:
            raise RuntimeError("wrapped") from inner

    with pytest.raises(RuntimeError) as caught:
        wrapped()
    assert reason_of(caught.value) == "ValueError: first line"
    assert reason_of(None) == "unknown"
