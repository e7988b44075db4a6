"""Searches: what is proposed, what Optuna stores, and what survives a kill. Without Ray; see test_tune for that."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from support.searches import SECRET, asked, finish, loss_of, run, trial_of
from vip5platform.declarations import Range, Search, choice
from vip5platform.search import TrialSearcher
from vip5platform.search.results import best_trial, history, importances, pareto_front
from vip5platform.search.space import Space
from vip5platform.search.storage import load_search
from vip5platform.study.keys import search_key

from vip5core.errors import Failure, UserError
from vip5core.home import Home

SPACE = {"reduction_factor": choice(2, 4, 8, 16), "learning_rate": Range(1e-4, 1e-1, log=True)}
SMALL_SPACE = {"reduction_factor": choice(2, 4, 8), "learning_rate": choice(1e-3, 1e-2)}


def declared(space: dict[str, Any] | None = None, *objectives: str, **settings: Any) -> Search:
    return Search("a-search", "Which?", space or SPACE, objectives or ("valid/loss",), settings)


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def searcher(home):
    """Makes searchers on one home; each closes the one before, as the end of its process would."""
    made: list[TrialSearcher] = []

    def make(search: Search | None = None, **options: Any) -> TrialSearcher:
        if made:
            made[-1].close()
        search = search or declared()
        settings = {"trials": 6, "seed": 1, **options}
        configure = settings.pop("configure", lambda found: trial_of({**search.settings, **found}))
        made.append(TrialSearcher(search, configure, settings.pop("home", home), "key", **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def epochs(searcher: TrialSearcher, trial_id: str, *values: float) -> list[bool]:
    """Report an epoch after another; whether each was the last."""
    return [
        searcher.should_stop(trial_id, {"epoch": float(number + 1), "valid/loss": value})
        for number, value in enumerate(values)
    ]


# what may be asked for


@pytest.mark.parametrize(
    ("space", "objectives", "says"),
    [
        (SPACE, ["test/sequential/ndcg_at_10"], "may use validation metrics only"),
        (SPACE, ["valid/loss", "test/sequential/ndcg_at_10"], "may use validation metrics only"),
        (SPACE, ["TEST/sequential/ndcg_at_10"], "may use validation metrics only"),
        (SPACE, [" test/loss"], "may use validation metrics only"),
        (SPACE, ["train/loss"], "may use validation metrics only"),
        (SPACE, ["valid/../test/sequential/ndcg_at_10"], "unknown metric"),
        (SPACE, ["valid/loss\ntest/loss"], "unknown metric"),
        (SPACE, ["cost/seconds"], "the first must be a validation metric"),
        (SPACE, ["valid/loss", "valid/loss"], "give each objective once"),
        (SPACE, ["valid/nonsense"], "unknown metric"),
        (SPACE, [], "needs at least one objective"),
        ({}, ["valid/loss"], "needs at least one setting"),
        ({"reduction_facter": choice(2)}, ["valid/loss"], "did you mean 'reduction_factor'"),
        ({"seed": choice(0, 1)}, ["valid/loss"], "cannot vary seed"),
        ({"reduction_factor": choice(2, 2)}, ["valid/loss"], "each value of a choice once"),
        ({"reduction_factor": choice()}, ["valid/loss"], "at least one"),
        ({"learning_rate": Range(1e-2, 1e-3)}, ["valid/loss"], "low must be below high"),
        ({"learning_rate": Range(0.0, 1e-3, log=True)}, ["valid/loss"], "low above 0"),
    ],
)
def test_a_search_that_peeks_or_misspells_is_refused(home, space, objectives, says):
    search = Search("a-search", "Which?", space, tuple(objectives))
    with pytest.raises(UserError, match=says):
        TrialSearcher(search, trial_of, home, "key", trials=3)


@pytest.mark.parametrize(("options", "says"), [({"trials": 0}, "at least one"), ({"sampler": "grid"}, "too many comb")])
def test_impossible_options_are_refused(searcher, options, says):
    with pytest.raises(UserError, match=says):
        searcher(**options)


def test_a_tuple_is_stored_as_text_and_restored():
    space = Space({"adapter_positions": choice(("self", "cross"), ("self",)), "clip": choice(1.0, 5.0)})
    assert next(iter(space.combinations())) == {"adapter_positions": "self,cross", "clip": 1.0}
    assert space.settings({"adapter_positions": "self,cross", "clip": 1.0}) == {
        "adapter_positions": ("self", "cross"),
        "clip": 1.0,
    }
    assert space.size == 4
    assert Space({"reduction_factor": Range(2, 9)}).size == 8
    assert Space(SPACE).size is None


# what is proposed


def test_a_search_runs_as_many_distinct_trials_as_it_was_given(searcher):
    one = searcher(trials=15)
    done = run(one)
    assert len({spec.fingerprint for spec in done}) == len(done) == 15
    assert [spec.fingerprint for spec in one.specs()] == [spec.fingerprint for spec in done]
    assert (one.missing, one.exhausted) == (0, False)
    complete = [trial for trial in one.study.trials if trial.state == TrialState.COMPLETE]
    assert [trial.value for trial in complete] == pytest.approx([loss_of(spec.config) for spec in done])
    assert {trial.user_attrs["seconds"] for trial in complete} == {2.5}


def test_a_search_that_is_continued_proposes_what_an_uninterrupted_one_does(searcher, home):
    whole = run(searcher(home=Home(home.root / "whole"), trials=14))
    parts = [spec for budget in (3, 9, 14) for spec in run(searcher(trials=budget))]
    assert [spec.fingerprint for spec in parts] == [spec.fingerprint for spec in whole]
    assert run(searcher(trials=14)) == []


def test_other_seeds_propose_other_trials(searcher, home):
    specs = [run(searcher(home=Home(home.root / str(seed)), seed=seed, trials=4)) for seed in (0, 1)]
    assert not {spec.fingerprint for spec in specs[0]} & {spec.fingerprint for spec in specs[1]}


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_finite_space_is_searched_to_its_end_and_no_further(searcher, sampler):
    one = searcher(declared(SMALL_SPACE), trials=50, sampler=sampler)
    done = run(one)
    assert len({spec.fingerprint for spec in done}) == len(done) == 6
    assert one.exhausted
    table = history(one.study)
    assert set(table["state"]) <= {"complete", "repeat"}
    assert table.loc[table["state"] == "repeat", "repeat_of"].notna().all()


def test_a_grid_is_searched_in_its_order(searcher):
    done = run(searcher(declared(SMALL_SPACE), trials=4, sampler="grid"))
    assert [(spec.config.reduction_factor, spec.config.learning_rate) for spec in done] == [
        (2, 1e-3),
        (2, 1e-2),
        (4, 1e-3),
        (4, 1e-2),
    ]


def test_other_parameters_that_make_the_same_trial_are_a_repeat(searcher):
    one = searcher(declared({"encoder": choice("RN50", "RN101", "ViT-B/32"), "learning_rate": choice(1e-3, 1e-2)}))
    assert len(run(one)) == 2  # text-only: the encoder does not count
    table = history(one.study)
    assert (table["state"] == "complete").sum() == 2
    repeats = table[table["state"] == "repeat"]
    assert len(repeats) >= 4
    rate = table.set_index("number")["learning_rate"]
    assert (repeats["learning_rate"] == repeats["repeat_of"].map(rate)).all()


@pytest.mark.slow
def test_an_infinite_space_with_few_distinct_trials_is_given_up(searcher):
    one = searcher(configure=lambda found: trial_of({"reduction_factor": found["reduction_factor"]}), trials=9)
    assert len(run(one)) == 4
    assert one.exhausted


def test_an_impossible_combination_costs_no_trial(searcher):
    def configure(found):
        if found["reduction_factor"] == 2:
            raise UserError("2 is too few")
        return trial_of(found)

    one = searcher(declared(SMALL_SPACE), configure=configure, trials=50)
    assert len(run(one)) == 4
    table = history(one.study)
    impossible = table[table["state"] == "impossible"]
    assert set(impossible["reduction_factor"]) == {2}
    assert set(impossible["failure"]) == {"2 is too few"}


def test_running_trials_are_not_proposed_again(searcher):
    one = searcher(declared(SMALL_SPACE), trials=50)
    specs = [asked(one, f"t{number}") for number in range(6)]
    assert len({spec.fingerprint for spec in specs}) == 6
    assert asked(one, "t6") is None


def test_a_trial_that_is_finished_already_counts_but_is_not_run(searcher, home):
    for spec in run(searcher(declared(SMALL_SPACE), home=Home(home.root / "other"), trials=50))[:3]:
        finish(spec, home)
    one = searcher(declared(SMALL_SPACE), trials=50)
    assert len(run(one)) == 3
    assert len(one.cached) == 3
    table = history(one.study)
    assert (table["state"] == "complete").sum() == 6
    assert set(table.loc[table["cached"], "fingerprint"]) == {spec.fingerprint for spec in one.cached}
    assert set(table.loc[table["cached"], "epochs"]) == {2}  # its epochs are there as well


# how trials end


def test_a_failed_trial_is_stored_with_its_failure_and_spends_budget(searcher):
    one = searcher(trials=3)
    asked(one, "a")
    one.note_failure("a", Failure(kind="diverged", message="DivergedError: the loss is nan"))
    one.on_trial_complete("a", error=True)
    assert len(run(one)) == 2
    (first, *rest) = history(one.study).itertuples()
    assert (first.state, first.failure) == ("failed", "DivergedError: the loss is nan")
    assert [row.state for row in rest] == ["complete", "complete"]


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        ("process_died", True),
        ("out_of_memory", True),
        ("disk_full", True),
        ("no_result", True),
        ("error", True),
        ("user_error", False),
        ("diverged", False),
    ],
)
def test_what_failed_for_want_of_memory_or_disk_is_tried_again_by_the_next_run(searcher, kind, again):
    one = searcher(trials=3)
    failed = asked(one, "a")
    one.note_failure("a", Failure(kind=kind, message="whatever it says"))
    one.on_trial_complete("a", error=True)
    run(one)
    one.close()
    two = searcher(trials=3)
    assert two.missing == again
    assert [spec.fingerprint for spec in run(two)] == [failed.fingerprint] * again
    assert len(two.specs()) == 3
    # A search whose failed trial was made up for has no failure any more; its command succeeds.
    assert set(two.failures()) == (set() if again else {failed.fingerprint})
    two.close()
    assert searcher(trials=3).missing == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_an_objective_that_is_no_number_is_a_failure(searcher, home, value):
    one = searcher(trials=1)
    finish(asked(one, "a"), home, **{"valid/loss": value})
    one.on_trial_complete("a", {})
    (trial,) = one.study.trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["failure"] == {"kind": "diverged", "message": f"valid/loss is {value}"}


def test_an_unpromising_trial_is_pruned_with_its_epochs(searcher):
    one = searcher(declared(epochs=4), trials=4)
    for name in "ab":
        asked(one, name)
    assert epochs(one, "a", 3.0, 2.0, 1.0, 0.5) == [False] * 4
    assert epochs(one, "b", 5.0) == [True]
    one.on_trial_complete("b", {"done": True})  # Tune says so of every trial that it ends
    trial = one.study.trials[1]
    assert (trial.state, trial.intermediate_values, trial.value) == (TrialState.PRUNED, {1: 5.0}, 5.0)
    assert not trial.user_attrs.get("failure")


def test_a_trial_is_not_pruned_after_its_last_epoch_nor_when_that_is_off(searcher):
    one = searcher(declared(epochs=1), trials=9)
    for name in "ab":
        asked(one, name)
    assert epochs(one, "a", 1.0) + epochs(one, "b", 5.0) == [False, False]
    other = searcher(declared(epochs=4), storage=optuna.storages.InMemoryStorage(), prune=False)
    for name in "ab":
        asked(other, name)
    assert epochs(other, "a", 1.0, 1.0) + epochs(other, "b", 5.0, 5.0) == [False] * 4
    assert other.study.trials[1].intermediate_values == {1: 5.0, 2: 5.0}


def test_epochs_that_a_continued_trial_reports_again_are_noted_once(searcher):
    search = declared(epochs=9)
    one = searcher(search, trials=2)
    asked(one, "a")
    epochs(one, "a", 3.0, 2.5)
    again = searcher(search, trials=2)
    asked(again, "b")
    assert epochs(again, "b", 9.0, 9.0, 2.0) == [False] * 3  # the same trial; the stored values stand
    assert again.study.trials[0].intermediate_values == {1: 3.0, 2: 2.5, 3: 2.0}
    asked(again, "c")
    assert epochs(again, "c", 4.0) == [True]  # the first rung is remembered


def test_a_trial_that_has_only_its_test_left_is_not_pruned_when_it_goes_on(searcher):
    search = declared({"epochs": choice(9, 3)})
    one = searcher(search, trials=2, sampler="grid")
    for name in "ab":
        asked(one, name)
    assert epochs(one, "a", 1.0, 1.0, 1.0) + epochs(one, "b", 0.5, 5.0, 5.0) == [False] * 6
    again = searcher(search, trials=2, sampler="grid")
    for name in "ab":
        asked(again, name)
    assert epochs(again, "b", 0.5, 5.0, 5.0) == [False] * 3


def test_several_objectives_give_a_pareto_front_without_pruning(searcher):
    search = declared(SMALL_SPACE, "valid/loss", "model/trainable_parameters", epochs=4)
    one = searcher(search, trials=50)
    assert not one.prune
    asked(one, "a")
    assert epochs(one, "a", 9e9, 9e9) == [False, False]
    again = searcher(search, trials=50)
    run(again)
    front = pareto_front(again.study)
    assert [(p.params["reduction_factor"], p.params["learning_rate"]) for p in front] == [(4, 1e-2), (8, 1e-2)]
    assert front[0].values == {"valid/loss": pytest.approx(0), "model/trainable_parameters": 250.0}
    assert best_trial(again.study) == front[0]


# the firewall


def test_no_value_of_the_test_reaches_optuna_or_its_storage(searcher, home):
    smuggled = {"test/sequential/ndcg_at_10": SECRET, "valid/loss": math.nan, "epoch": 1.0, "TEST/x": SECRET}
    one = searcher(declared(epochs=3), trials=4)
    for name in "abcd":
        spec = asked(one, name)
        assert not one.should_stop(name, smuggled)  # the pruner is not fed by what is not the objective
        one.should_stop(name, {**smuggled, "valid/loss": 1.0})
        finish(spec, home, **{"valid/test/loss": SECRET, "cost/test": SECRET})
        one.on_trial_complete(name, smuggled)
    stored = home.search("key").read_text("utf-8")
    assert str(SECRET) not in stored
    assert "test/" not in stored.lower()
    for trial in one.study.trials:
        assert set(trial.user_attrs) <= {"fingerprint", "seconds"}
        assert SECRET not in [*(trial.values or []), *trial.intermediate_values.values()]


# the storage


def test_trials_that_were_cut_off_come_first_and_as_they_were(searcher, home):
    one = searcher(trials=6)
    run(one, limit=2)
    left = [asked(one, "x"), asked(one, "y")]
    finish(left[0], home)  # it ended, but that was not recorded
    again = searcher(trials=6)
    assert again.missing == 4
    done = run(again)
    assert again.cached == [left[0]]
    assert done[0] == left[1]
    assert len(done) == 3
    table = history(again.study)
    assert list(table["state"]) == ["complete"] * 6
    assert table["fingerprint"].is_unique


KILLED = """
import os, signal, sys
from pathlib import Path
from support.searches import asked, finish, trial_of
from vip5platform.search import TrialSearcher
from vip5platform.declarations import Range, Search, choice
from vip5core.home import Home
space = {"reduction_factor": choice(2, 4, 8, 16), "learning_rate": Range(1e-4, 1e-1, log=True)}
search = Search("a-search", "Which?", space, ("valid/loss",))
searcher = TrialSearcher(search, trial_of, Home(Path(sys.argv[1])), "key", trials=6, seed=1)
for name in "abc":
    spec = asked(searcher, name)
    searcher.should_stop(name, {"epoch": 1.0, "valid/loss": 1.0})
    finish(spec, searcher.home)
    if name < "c":
        searcher.on_trial_complete(name, {})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_search_goes_on_even_after_half_a_line(searcher, home):
    whole = run(searcher(home=Home(home.root / "whole")))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(home)], env={"PYTHONPATH": ":".join(sys.path)}, check=False
    )
    assert killed.returncode == -9
    path = home.search("key")
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker_')
    assert len(load_search(home, "key").trials) == 3  # a reader is not troubled
    again = searcher()
    run(again)
    table = history(again.study)
    assert set(table["fingerprint"]) == {spec.fingerprint for spec in whole}
    assert list(table["state"]) == ["complete"] * 6
    for line in path.read_text("utf-8").splitlines():
        json.loads(line)


def test_two_processes_cannot_run_one_search(searcher, home):
    searcher()
    with pytest.raises(UserError, match="another process runs the search"):
        TrialSearcher(declared(), trial_of, home, "key", trials=3)


def test_another_declaration_is_another_search(searcher):
    searcher()
    with pytest.raises(UserError, match="it was started with another space"):
        searcher(declared(SMALL_SPACE))
    keys = {search_key(search, "data") for search in (declared(), declared(SMALL_SPACE), declared(epochs=3))}
    assert len(keys | {search_key(declared(), "other data")}) == 4
    assert search_key(declared(), "data") in keys


@pytest.mark.slow
def test_what_was_found_is_read_from_the_storage_alone(searcher, home):
    run(searcher(trials=20))
    study = load_search(home, "key")
    table = history(study)
    best = best_trial(study)
    assert best.values["valid/loss"] == table["valid/loss"].min() == table["best"].iloc[-1]
    assert (table["best"].diff().dropna() <= 0).all()
    assert {"reduction_factor", "learning_rate", "seconds", "epochs"} <= set(table.columns)
    weights = importances(study)
    assert set(weights) == {"reduction_factor", "learning_rate"}
    assert sum(weights.values()) == pytest.approx(1)
    with pytest.raises(UserError, match="no search 'other'"):
        load_search(home, "other")


def test_a_search_that_has_not_got_far_has_no_importances_and_no_best(searcher):
    one = searcher()
    assert best_trial(one.study) is None
    assert pareto_front(one.study) == []
    assert len(history(one.study)) == 0
    run(one, limit=5)
    assert importances(one.study) == {}
