from __future__ import annotations

import subprocess
import sys

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from support.finished import finished_trial
from support.trials import small
from vip5platform.tracking.recorded import FINGERPRINT, P5_STAGE, default_uri, find_recorded_study
from vip5platform.tracking.tracker import EXPERIMENT, Tracker, fingerprint_of_run, run_of_trial

from vip5core.backbones import P5_RECORD, backbone_fingerprint
from vip5core.data.dataset import Dataset
from vip5core.errors import Failure, UserError
from vip5core.home import Home
from vip5core.storage import machine_name
from vip5core.trial.p5_record import P5Record
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.result import Content, TrialRecord, TrialResult
from vip5core.trial.spec import TrialSpec

METRIC = "test/sequential/ndcg_at_10"


@pytest.fixture
def home(tracked_home: Home) -> Home:
    return tracked_home


def tracker(home: Home, key: str = "k") -> Tracker:
    return Tracker(default_uri(home), home, "study", key, {"vip5.study": "study"})


def trial(home: Home, epochs: int = 2) -> tuple[TrialSpec, TrialResult]:
    """A finished trial's spec and result, without training one."""
    config = small(epochs=epochs)
    result = finished_trial(home, f"trial{epochs}", [1], config=config, metrics={METRIC: 0.5})
    return TrialSpec(config, home.root, home.root, None, f"trial{epochs}"), result


def runs(home: Home) -> list[tuple[str, str, str | None]]:
    client = MlflowClient(default_uri(home))
    found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    return [(r.info.run_name, r.info.status, r.data.tags.get("mlflow.parentRunId")) for r in found]


@pytest.mark.slow
def test_a_trial_is_a_child_run_with_all_that_is_known_of_it(home):
    spec, result = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {"encoder": "RN50"})
    log.epochs(spec, result.history[:1])
    log.finished(spec, result)
    log.close(succeeded=True, note="# table", tags={"vip5.answer": "yes"}, files=[], metrics={METRIC: 0.5})
    assert sorted(runs(home)) == [("RN50", "FINISHED", log.parent), ("study", "FINISHED", None)]
    run = log.client.get_run(log.children[spec.fingerprint])
    assert run.data.params["reduction_factor"] == "8"
    assert run.data.metrics[METRIC] == 0.5
    assert run.data.tags["vip5.level.encoder"] == "RN50"
    assert run.data.tags["version.python"] == "3.11"
    assert (run.data.tags["vip5.device"], run.data.tags["vip5.host"]) == ("cpu", "node-7")
    assert [p.value for p in log.client.get_metric_history(run.info.run_id, "valid/loss")] == [1.0, 0.5]
    names = {f.path for f in log.client.list_artifacts(run.info.run_id)}
    assert names == {"result.json", "per_user.parquet"}
    assert str(home) in run.info.artifact_uri
    for of in (run.info.run_id, log.parent):
        (used,) = log.client.get_run(of).inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("d", "d")
        assert str(home) in used.dataset.source
    assert run_of_trial(spec.fingerprint, default_uri(home)) == run.info.run_id
    assert run_of_trial("another", default_uri(home)) is None


def trained_stage(home: Home, shop: Dataset) -> P5Stage:
    """A stage with the folder that training would leave."""
    stage = P5Stage.of("tiny", shop, home, {"epochs": 2})
    stage.folder.mkdir(parents=True)
    (stage.folder / "config.json").write_text("{}")
    history = [{"epoch": 1.0, "train/loss": 2.0, "valid/loss": 1.5}, {"epoch": 2.0, "train/loss": 1.0, "valid/loss": 1}]
    metrics = {"valid/loss": 1.0, "cost/seconds": 7.0, "cost/peak_memory_mb": 300.0, "model/best_epoch": 2.0}
    content = Content(name=shop.name, fingerprint=shop.fingerprint)
    record = TrialRecord(fingerprint=stage.name, code="c", dataset=content, versions={"python": "3.11"})
    (stage.folder / P5_RECORD).write_text(P5Record(stage.config, metrics, history, record).text)
    return stage


@pytest.mark.slow
def test_a_p5_stage_is_a_child_run_of_the_study_that_trained_it(home, shop):
    stage = trained_stage(home, shop)
    log = tracker(home)
    assert runs(home) == [("study", "RUNNING", None)]
    log.stages([stage])
    log.stages([stage])
    log.close(succeeded=True, note="", tags={}, files=[], metrics={}, content="c")
    assert sorted(runs(home)) == [(stage.label, "FINISHED", log.parent), ("study", "FINISHED", None)]
    (run,) = log.client.search_runs([log.experiment], f"tags.`{P5_STAGE}` = '{stage.name}'")
    assert FINGERPRINT not in run.data.tags  # it is no trial
    assert run.data.params["epochs"] == "2"
    assert run.data.params["item_start"] == stage.config.item_start
    assert run.data.metrics["cost/seconds"] == 7.0
    assert run.data.metrics["cost/peak_memory_mb"] == 300.0
    assert run.data.tags["vip5.backbone_fingerprint"] == backbone_fingerprint(stage.folder)
    assert [p.value for p in log.client.get_metric_history(run.info.run_id, "valid/loss")] == [1.5, 1.0]
    assert fingerprint_of_run(run.info.run_id, default_uri(home)) is None

    # Another study that starts from it names it and records nothing; without MLflow it is known, too.
    other = tracker(home, "other")
    other.stages([stage])
    assert len(runs(home)) == 3
    assert other.client.get_run(other.parent).data.tags["vip5.p5_stages"] == stage.name
    found = find_recorded_study(default_uri(home), "k")
    assert found is not None
    assert (found.stages, found.trials) == ({stage.name}, set())


@pytest.mark.slow
def test_a_damaged_record_of_a_p5_stage_is_told_and_no_more(home, shop, capsys):
    stage = trained_stage(home, shop)
    (stage.folder / P5_RECORD).write_text('{"config": ')
    log = tracker(home)
    log.stages([stage])
    assert "no readable record of a P5 stage" in " ".join(capsys.readouterr().out.split())
    assert len(runs(home)) == 1


@pytest.mark.slow
def test_nothing_is_logged_twice(home):
    spec, result = trial(home)
    for _ in range(3):
        log = tracker(home)
        log.open(spec, "RN50", {})
        for end in (1, 1, 2, 2):
            log.epochs(spec, result.history[:end])
        log.finished(spec, result)
        log.close(succeeded=True, note="", tags={}, files=[], metrics={METRIC: 0.5})
    assert len(runs(home)) == 2
    run = log.children[spec.fingerprint]
    assert [p.step for p in log.client.get_metric_history(run, "valid/loss")] == [1, 2]
    assert len(log.client.get_metric_history(run, METRIC)) == 1
    assert len(log.client.get_metric_history(log.parent, METRIC)) == 1


@pytest.mark.slow
def test_what_is_recorded_is_found_without_mlflow(home):
    (spec, result), uri = trial(home), default_uri(home)
    assert find_recorded_study(uri, "k") is None
    log = tracker(home)
    log.open(spec, "RN50", {})
    assert find_recorded_study(uri, "k") is None  # it is running
    log.finished(spec, result)
    log.close(succeeded=True, note="", tags={}, files=[], metrics={}, content="c")
    found = find_recorded_study(uri, "k")
    assert found is not None
    assert (found.parent, found.content, found.trials) == (log.parent, "c", {spec.fingerprint})
    assert find_recorded_study(uri, "other") is None
    assert find_recorded_study("http://localhost:1", "k") is None

    log.client.delete_run(log.children[spec.fingerprint])
    assert find_recorded_study(uri, "k").trials == frozenset()
    log.client.delete_run(log.parent)
    assert find_recorded_study(uri, "k") is None


def test_a_file_that_is_no_database_of_mlflow_answers_nothing(tmp_path):
    for content in (b"", b"no database"):
        (tmp_path / "mlflow.db").write_bytes(content)
        assert find_recorded_study(default_uri(Home(tmp_path)), "k") is None


@pytest.mark.slow
def test_a_failed_trial_and_an_abandoned_study_leave_no_run_running(home):
    spec, _ = trial(home)
    other, _ = trial(home, epochs=3)
    log = tracker(home)
    log.open(spec, "failed", {})
    log.failed(spec, Failure(kind="diverged", message="DivergedError: nan"))
    log.open(other, "cut off", {})
    log.mark_killed()
    assert {name: status for name, status, _ in runs(home)} == {
        "failed": "FAILED",
        "cut off": "KILLED",
        "study": "KILLED",
    }


@pytest.mark.slow
def test_a_failed_trials_run_says_why_for_people_and_for_programs(home):
    spec, _ = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {})
    log.failed(spec, Failure(kind="out_of_memory", message="its node ran out of memory"))
    run = log.client.get_run(log.children[spec.fingerprint])
    assert run.info.status == "FAILED"
    assert run.data.tags["vip5.failure"] == "its node ran out of memory"
    assert run.data.tags["vip5.failure_kind"] == "out_of_memory"
    assert run.data.tags["vip5.outcome"] == "failed"


@pytest.mark.slow
def test_a_study_that_came_to_nothing_has_failed_until_a_trial_of_it_finishes(home):
    spec, result = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {})
    log.failed(spec, Failure(kind="diverged", message="the loss is nan"))
    log.close(succeeded=False, note="", tags={}, files=[], metrics={})
    assert {name: status for name, status, _ in runs(home)} == {"RN50": "FAILED", "study": "FAILED"}

    again = tracker(home)
    assert again.parent == log.parent
    again.open(spec, "RN50", {})
    again.finished(spec, result)
    again.close(succeeded=True, note="", tags={}, files=[], metrics={})
    assert {name: status for name, status, _ in runs(home)} == {"RN50": "FINISHED", "study": "FINISHED"}
    tags = again.client.get_run(again.children[spec.fingerprint]).data.tags
    assert not [tag for tag in tags if tag.startswith("vip5.failure")]


@pytest.mark.slow
def test_what_a_server_missed_is_recorded_by_the_next_call_once(home, monkeypatch):
    """The server takes an epoch in but its answer is lost; then it is away for two; then it is back."""
    spec, result = trial(home, epochs=5)
    log = tracker(home)
    log.open(spec, "RN50", {})
    log.epochs(spec, result.history[:1])
    real = log.client.log_batch

    def taken_in_without_an_answer(*arguments, **named):
        real(*arguments, **named)
        raise MlflowException("connection reset")

    def away(*arguments, **named):
        raise MlflowException("connection refused")

    for broken in (taken_in_without_an_answer, away, away):
        monkeypatch.setattr(log.client, "log_batch", broken)
        with pytest.raises(MlflowException):
            log.epochs(spec, result.history[:3])
    monkeypatch.setattr(log.client, "log_batch", real)
    log.finished(spec, result)
    run = log.children[spec.fingerprint]
    assert [p.step for p in log.client.get_metric_history(run, "valid/loss")] == [1, 2, 3, 4, 5]
    assert log.client.get_run(run).info.status == "FINISHED"


@pytest.mark.slow
def test_a_cut_between_the_last_metrics_and_the_end_doubles_nothing(home, monkeypatch):
    spec, result = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {})
    with monkeypatch.context() as patch:
        patch.setattr(log, "_end", lambda *arguments: (_ for _ in ()).throw(MlflowException("gone")))
        with pytest.raises(MlflowException):
            log.finished(spec, result)
    again = tracker(home)
    again.open(spec, "RN50", {})
    again.finished(spec, result)
    run = again.children[spec.fingerprint]
    assert run == log.children[spec.fingerprint]
    assert len(again.client.get_metric_history(run, METRIC)) == 1


@pytest.mark.slow
def test_a_run_that_has_all_but_its_end_is_ended(home):
    spec, result = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {})
    log.finished(spec, result)
    run = log.children[spec.fingerprint]
    log.client.update_run(run, status="KILLED")  # by whoever found it running, its driver killed in the last moment
    again = tracker(home)
    again.open(spec, "RN50", {})
    again.finished(spec, result)
    assert again.client.get_run(run).info.status == "FINISHED"


@pytest.mark.slow
def test_artifacts_that_cannot_be_written_are_an_error_of_mlflow(home, monkeypatch):
    spec, result = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {})
    monkeypatch.setattr(log.client, "log_artifacts", lambda *given: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(MlflowException, match="No space left"):
        log.finished(spec, result)


@pytest.mark.slow
def test_runs_of_a_driver_that_was_killed_are_ended_and_those_of_a_living_one_are_not(home):
    spec, _ = trial(home)
    dead, alive = tracker(home, "dead"), tracker(home, "alive")
    dead.open(spec, "cut off", {})
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    dead.client.set_tag(dead.parent, "vip5.driver", f"{machine_name()}:{gone.pid}")
    other = tracker(home, "other")
    status = {
        run: other.client.get_run(run).info.status for run in (dead.parent, *dead.children.values(), alive.parent)
    }
    assert list(status.values()) == ["KILLED", "KILLED", "RUNNING"]


@pytest.mark.slow
def test_a_trial_that_is_trained_anew_gets_a_new_run(home):
    spec, result = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {})
    log.finished(spec, result)
    again = tracker(home)
    again.discard(spec.fingerprint)
    again.open(spec, "RN50", {})
    assert again.children[spec.fingerprint] != log.children[spec.fingerprint]
    assert len([name for name, _, _ in runs(home) if name == "RN50"]) == 1


@pytest.mark.slow
def test_a_run_that_a_server_made_twice_is_one(home):
    spec, _ = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {})
    first = log.client.get_run(log.children[spec.fingerprint])
    log.client.create_run(log.experiment, tags=first.data.tags)
    again = tracker(home)
    again.open(spec, "RN50", {})
    assert again.children == log.children
    assert len([name for name, _, _ in runs(home) if name == "RN50"]) == 1


@pytest.mark.slow
def test_a_pruned_trial_is_no_failure(home):
    spec, result = trial(home)
    log = tracker(home)
    log.open(spec, "lr 1", {"learning_rate": "1"})
    log.epochs(spec, result.history[:1])
    log.pruned(spec)
    run = log.client.get_run(log.children[spec.fingerprint])
    assert (run.info.status, run.data.tags["vip5.outcome"]) == ("KILLED", "pruned")


@pytest.mark.slow
def test_the_trial_of_a_run_is_found_by_its_id(home):
    spec, _ = trial(home)
    log = tracker(home)
    log.open(spec, "RN50", {})
    assert fingerprint_of_run(log.children[spec.fingerprint], default_uri(home)) == spec.fingerprint
    assert fingerprint_of_run("0" * 32, default_uri(home)) is None
    nowhere = Home(home.root / "nowhere")
    assert fingerprint_of_run("0" * 32, default_uri(nowhere)) is None
    assert not nowhere.root.exists()


@pytest.mark.slow
def test_another_key_is_another_study(home):
    assert tracker(home, "a").parent != tracker(home, "b").parent


@pytest.mark.slow
def test_a_server_that_is_not_there_is_a_users_error(home):
    with pytest.raises(UserError, match="no MLflow there"):
        Tracker("http://127.0.0.1:9", home, "s", "k", {})
