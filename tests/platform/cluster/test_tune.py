"""Trials under Ray Tune: in process, as a worker group, and proposed by a search."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from support.searches import asked
from support.trials import small
from vip5platform.cluster.resources import ClusterResources, TrialResources
from vip5platform.cluster.tune import run_search, run_trials
from vip5platform.declarations import Range, Search, choice
from vip5platform.search import TrialSearcher
from vip5platform.search.results import history
from vip5platform.search.storage import load_search

from vip5core.data.dataset import Dataset
from vip5core.errors import Failure, UserError
from vip5core.home import Home
from vip5core.trial.result import TrialResult
from vip5core.trial.spec import StudyInputs


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.epochs: list[tuple[str, float]] = []
        self.results: dict[str, TrialResult] = {}
        self.failures: dict[str, Failure] = {}
        self.ended_early: list[str] = []

    def waiting(self, wanted, seconds) -> None:
        pass

    def started(self, spec) -> None:
        pass

    def epoch(self, spec, metrics) -> None:
        assert not any(name.startswith("test/") for name in metrics)
        self.epochs.append((spec.fingerprint, metrics["epoch"]))

    def finished(self, spec, result) -> None:
        self.results[spec.fingerprint] = result

    def failed(self, spec, failure) -> None:
        self.failures[spec.fingerprint] = failure

    def retried(self, spec, failure) -> None:
        raise AssertionError(f"nothing is lost here: {failure.message}")

    def pruned(self, spec) -> None:
        self.ended_early.append(spec.fingerprint)


GOOD, BAD = small(batch_size=32), small(learning_rate=1e30, tuning="full", clip=1e30)


@pytest.fixture(scope="module")
def alone(
    shop: Dataset, untrained: Path, ray_two_cpus: ClusterResources, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyInputs, Recorder]:
    """Two trials of one worker each, the first of which diverges."""
    inputs = StudyInputs(Home(tmp_path_factory.mktemp("alone")), shop.folder, untrained, {})
    seen = Recorder()
    run_trials([inputs.spec(BAD), inputs.spec(GOOD)], inputs.home, TrialResources(1, 1, 0), 1, seen)
    return inputs, seen


@pytest.mark.slow
def test_a_trial_that_fails_is_told_in_a_line_and_the_others_go_on(alone):
    inputs, seen = alone
    assert list(seen.results) == [inputs.spec(GOOD).fingerprint]
    assert [epoch for fingerprint, epoch in seen.epochs if fingerprint in seen.results] == [1.0, 2.0]
    (failure,) = seen.failures.values()
    assert failure.kind == "diverged"
    assert failure.message.startswith("DivergedError: the training loss is nan in epoch")
    assert not inputs.spec(BAD).is_finished(inputs.home)


@pytest.mark.slow
def test_a_worker_group_learns_what_one_worker_learns(alone, text_only, ray_two_cpus):
    group = Recorder()
    share = TrialResources.of(ray_two_cpus, trials=1, workers=2)
    run_trials([text_only.spec(GOOD)], text_only.home, share, 1, group)
    assert group.failures == {}
    assert [epoch for _, epoch in group.epochs] == [1.0, 2.0]
    (one,), (two,) = alone[1].results.values(), group.results.values()
    assert (one.record.workers, two.record.workers) == (1, 2)
    for ours, theirs in zip(one.history, two.history, strict=True):
        assert ours["valid/loss"] == pytest.approx(theirs["valid/loss"], abs=1e-3)
        assert ours["train/loss"] == pytest.approx(theirs["train/loss"], abs=1e-3)
    users = [result.per_user[["task", "user", "item"]].reset_index(drop=True) for result in (one, two)]
    assert users[0].equals(users[1])


#: Enough to search in: eight trials of a second or two.
SEARCH = Search(
    "a-search",
    "Which?",
    {"reduction_factor": choice(2, 4), "learning_rate": choice(1e-4, 1e-3, 1e-2, 3e-2)},
    ("valid/loss",),
)


def searched(search, text_only, ray, seen, at_once=1, **options):
    """Run `search` by Tune; its searcher."""

    def configure(settings):
        return text_only.spec(small(**{**search.settings, **settings}))

    with TrialSearcher(search, configure, text_only.home, "key", **options) as searcher:
        run_search(searcher, searcher.scheduler, text_only.home, TrialResources(1, 1, 0), at_once, seen)
    return searcher


@pytest.mark.slow
def test_a_search_runs_what_it_proposes_and_sees_validation_only(text_only, ray_two_cpus):
    seen = Recorder()
    search = Search("a-search", "Which?", {**SEARCH.space, "learning_rate": Range(1e-4, 1e-2, log=True)})
    searcher = searched(search, text_only, ray_two_cpus, seen, at_once=2, trials=4, seed=1, prune=False)
    assert len(seen.results) == 4
    assert {spec.fingerprint for spec in searcher.specs()} == set(seen.results)
    trials = searcher.study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    for trial in trials:
        result = seen.results[trial.user_attrs["fingerprint"]]
        assert trial.value == result.metrics["valid/sequential/ndcg_at_10"]
        assert trial.intermediate_values == {
            int(epoch["epoch"]): epoch["valid/sequential/ndcg_at_10"] for epoch in result.history
        }
    assert "test/" not in text_only.home.search("key").read_text("utf-8")
    # A second search of the same home trains nothing anew.
    again = searched(search, text_only, ray_two_cpus, Recorder(), trials=4, seed=1)
    assert (again.missing, again.cached) == (0, [])


@pytest.mark.slow
def test_hopeless_trials_end_early_and_failed_ones_are_told_with_their_failure(text_only, ray_two_cpus):
    seen = Recorder()
    search = Search(
        "a-search",
        "Which?",
        # In this order: a good one, two that learn nothing, one that diverges, and another good one.
        {"learning_rate": choice(1e-2, 1e-9, 2e-9, 1e30, 2e-2)},
        ("valid/loss",),
        {"epochs": 3, "tuning": "full", "clip": 1e30},
    )
    searcher = searched(search, text_only, ray_two_cpus, seen, trials=5, sampler="grid")
    table = history(searcher.study)
    assert list(table["state"][:4]) == ["complete", "pruned", "pruned", "failed"]
    assert table["failure"][3].startswith("DivergedError: the training loss is")
    assert list(table["epochs"][:3]) == [3, 1, 1]
    assert seen.ended_early[:2] == list(table["fingerprint"][1:3])
    for number in (1, 2):
        assert list(searcher.study.trials[number].intermediate_values) == [1]
    assert sorted(path.name for path in text_only.home.trials.iterdir()) == sorted(
        table["fingerprint"][table["state"] == "complete"]
    )


DRIVER = """
import sys
from pathlib import Path
from vip5platform.environment import set_environment
set_environment(None)
from test_tune import SEARCH, Recorder, searched
from vip5platform.cluster.ray_cluster import ray_session
from vip5core.home import Home
from vip5core.trial.spec import StudyInputs
home, dataset, backbone = map(Path, sys.argv[1:])
with ray_session(None, cpus=2) as ray:
    searched(SEARCH, StudyInputs(Home(home), dataset, backbone, {}), ray, Recorder(), trials=5, seed=3, prune=False)
"""


@pytest.mark.long
def test_a_search_whose_driver_is_killed_goes_on_to_the_same_trials(text_only, tmp_path):
    def start() -> subprocess.Popen:
        arguments = [str(path) for path in (text_only.home.root, text_only.dataset, text_only.backbone)]
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        )

    def told() -> list[str]:
        if not text_only.home.search("key").is_file():
            return []
        try:
            return list(history(load_search(text_only.home, "key")).get("state", []))
        except KeyError:  # it has only just been created
            return []

    driver = start()
    until = time.monotonic() + 600
    while not (told().count("complete") >= 2 and "running" in told()):
        assert driver.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until, "it does not get on"
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = history(load_search(text_only.home, "key"))
    second = start()
    assert second.wait(timeout=600) == 0
    table = history(load_search(text_only.home, "key"))
    assert list(table["fingerprint"][: len(before)]) == list(before["fingerprint"])
    new = table[table["state"] != "repeat"]
    assert list(new["state"]) == ["complete"] * 5
    assert new["fingerprint"].is_unique
    finished = {path.name for path in text_only.home.trials.iterdir() if path.is_dir()}
    assert finished == set(new["fingerprint"])
    # So few proposals are drawn by the seed alone, whatever the trials give.
    home = Home(tmp_path / "whole")
    with TrialSearcher(
        SEARCH, lambda settings: text_only.spec(small(**settings)), home, "key", trials=5, seed=3
    ) as one:
        whole = [asked(one, str(number)).config for number in range(5)]
    assert [(config.reduction_factor, config.learning_rate) for config in whole] == list(
        new[["reduction_factor", "learning_rate"]].itertuples(index=False, name=None)
    )


@pytest.mark.parametrize(
    ("resources", "trials", "workers", "gpus", "expected", "at_once"),
    [
        (ClusterResources(2, 0), 5, 1, None, TrialResources(1, 1, 0.0), 2),
        (ClusterResources(16, 0), 5, 1, None, TrialResources(1, 1, 0.0), 16),
        (ClusterResources(2, 0), 1, 2, None, TrialResources(2, 1, 0.0), 1),
        (ClusterResources(16, 1), 5, 1, None, TrialResources(1, 16, 1.0), 1),
        (ClusterResources(16, 1), 5, 1, 0.25, TrialResources(1, 4, 0.25), 4),
        (ClusterResources(16, 4), 2, 2, 1.0, TrialResources(2, 4, 1.0), 2),
    ],
)
def test_trials_share_what_there_is(resources, trials, workers, gpus, expected, at_once):
    share = TrialResources.of(resources, trials, workers, gpus)
    assert share == expected
    assert share.at_once(resources) == at_once


def test_more_workers_than_cpus_are_refused():
    with pytest.raises(UserError, match="--workers-per-trial 3: each needs a CPU, but the cluster has 2"):
        TrialResources.of(ClusterResources(2, 0), 1, 3)
