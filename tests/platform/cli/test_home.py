"""`vip5 studies` and `vip5 clean`, on a home with the folders that studies leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import run_vip5
from support.finished import finished_trial
from vip5platform.analysis.record import RecordedTrial, StudyRecord

from vip5core.errors import Failure
from vip5core.fingerprint import code_version
from vip5core.home import Home
from vip5core.storage import shared_lock


def run(capsys: pytest.CaptureFixture[str], command: str, home: Home, *arguments: str) -> tuple[int, str, str]:
    """Run a command on a home."""
    return run_vip5(capsys, command, "--home", home, *arguments)


def save_study(home: Home, *trials: str, failure: Failure | None = None) -> Path:
    """A study with these finished trials, and one more if there is a failure; the folder of its report."""
    failed = [RecordedTrial(cell={"n": "x"}, seed=0, group="d", fingerprint="lost", failure=failure)] if failure else []
    record = StudyRecord(
        kind="study", name="narrow", question="How narrow?", key="k", factors=["n"], metrics=[], settings={},
        trials=[
            *(RecordedTrial(cell={"n": one}, seed=0, group="d", dataset=str(home.datasets / "d-1"), fingerprint=one)
              for one in trials),
            *failed,
        ],
        baselines=["sasrec"], command="", commit="", dirty=False, workers=1, gpus=0, cpus=1, sasrec={"d": "sasrec-1"},
    )  # fmt: skip
    record.save(home)
    (record.folder(home) / "answer.txt").write_text("Nobody knows.\n")
    return record.folder(home)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A study of two trials on one dataset, and beside all that it needs something that nobody does."""
    home = Home(tmp_path / "my home")
    for name in ("one", "two", "stray"):
        finished_trial(home, name, [1, 2])
    for name, dataset in (("sasrec-1", "d"), ("random-1", "d"), ("random-2", "other")):
        finished_trial(Home(home.root / "b"), name, [1], dataset=dataset)
    (home.root / "b" / "trials").rename(home.baselines)
    for folder in (home.datasets / "d-1", home.datasets / "d-2", home.backbones / "tiny-2", home.features / "s-2"):
        folder.mkdir(parents=True)
        (folder / "content").write_bytes(bytes(5000))
    home.searches.mkdir()
    home.search("other").touch()
    (home.replaced_trials / "one-1").mkdir(parents=True)
    home.checkpoint("gone").touch()
    save_study(home, "one", "two")
    return home


UNNEEDED = {
    "trials/stray", "trials/gone.running.pt", "trials/.replaced/one-1", "datasets/d-2", "backbones/tiny-2",
    "features/s-2", "baselines/random-2", "searches/other.log",
}  # fmt: skip


def contents(home: Home) -> set[str]:
    places = [home.replaced_trials, *(path for path in home.root.iterdir() if path.is_dir())]
    return {str(path.relative_to(home.root)) for place in places for path in place.iterdir()}


def test_studies_lists_questions_answers_trials_and_sizes(home, capsys):
    code, said, _ = run(capsys, "studies", home)
    assert code == 0
    for part in ("narrow How narrow?", "2 of 2", "Nobody knows.", "datasets 10 kB", "; all "):
        assert part in said


def test_a_study_without_a_readable_record_is_listed_as_what_it_is(home, capsys):
    (home.reports / "started-k2").mkdir()
    (home.reports / "broken-k3").mkdir()
    (home.reports / "broken-k3" / "study.json").write_text("{")
    said = run(capsys, "studies", home)[1]
    assert "started-k2 interrupted: the same command continues it" in said
    assert "broken-k3 its record cannot be read" in said


def test_clean_deletes_what_no_study_needs_and_nothing_else(home, capsys):
    before = contents(home)
    code, said, _ = run(capsys, "clean", home, "--yes")
    assert code == 0
    assert before - contents(home) == UNNEEDED
    assert all(path in said for path in UNNEEDED)
    assert "5.0 kB datasets/d-2" in said
    assert "Nothing can go" in run(capsys, "clean", home, "--yes")[1]


def test_clean_keeps_what_the_present_code_would_reuse(home, capsys):
    finished_trial(home, "of-a-wider-run", [1, 2], code=code_version())
    assert run(capsys, "clean", home, "--yes")[0] == 0
    assert home.trial("of-a-wider-run").is_dir()
    assert not home.trial("stray").exists()


def test_clean_knows_a_home_that_was_moved(home, capsys):
    moved = Home(home.root.rename(home.root.parent / "elsewhere"))
    assert run(capsys, "clean", moved, "--yes")[0] == 0
    assert (moved.datasets / "d-1").is_dir()
    assert not (moved.datasets / "d-2").exists()


def test_clean_leaves_a_home_whose_p5_stage_was_interrupted(home, capsys):
    (home.backbones / "tiny-1.running.pt").touch()
    code, _, told = run(capsys, "clean", home, "--yes")
    assert code == 2
    assert "tiny-1.running.pt" in told
    assert home.trial("stray").is_dir()


def test_clean_shows_and_deletes_nothing_where_nobody_can_be_asked(home, capsys):
    before = contents(home)
    code, said, _ = run(capsys, "clean", home)
    assert code == 1
    assert "trials/stray" in said
    assert contents(home) == before


def test_clean_waits_for_running_studies(home, capsys):
    with shared_lock(home.lock, "taken"):
        code, _, error = run(capsys, "clean", home, "--yes")
    assert code == 2
    assert "a study is running in" in error
    assert "trials/stray" in contents(home)


def test_clean_leaves_what_an_interrupted_study_may_have_finished(home, capsys):
    (home.reports / "started-k2").mkdir()
    code, _, error = run(capsys, "clean", home, "--yes")
    assert code == 2
    assert "'started-k2': interrupted" in error
    assert run(capsys, "clean", home, "--yes", "--interrupted")[0] == 0
    assert not {"reports/started-k2", "trials/stray"} & contents(home)


@pytest.mark.parametrize(("kind", "is_kept"), [("process_died", True), ("diverged", False)])
def test_what_a_trial_without_result_will_need_is_kept(home, capsys, kind, is_kept):
    home.checkpoint("lost").touch()
    save_study(home, "one", "two", failure=Failure(kind=kind, message="it failed"))
    assert run(capsys, "clean", home, "--yes")[0] == 0
    assert ("backbones/tiny-2" in contents(home)) == is_kept
    assert "trials/lost.running.pt" in contents(home)


def test_clean_keeps_the_features_of_trials_with_their_shards(home, capsys):
    result = home.trial("one") / "result.json"
    data = json.loads(result.read_text())
    data["record"]["features"] = "s-1"
    result.write_text(json.dumps(data))
    for name in ("s-1", "shards/e-1", "shards/e-2"):
        (home.features / name).mkdir(parents=True)
    (home.features / "s-1" / "store.json").write_text(json.dumps({"encoder": {"fingerprint": "e-1"}}))
    assert run(capsys, "clean", home, "--yes")[0] == 0
    assert (home.features / "s-1").is_dir()
    assert [path.name for path in (home.features / "shards").iterdir()] == ["e-1"]
