"""What runs before the trials: backbones, features and baselines side by side, on however few CPUs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.processes import left_of, started_by
from support.trials import small
from vip5platform.cluster import feature_extraction
from vip5platform.cluster.ray_cluster import ray_session
from vip5platform.options import Options
from vip5platform.study import session as session_module
from vip5platform.study.inputs import PreparedInputs
from vip5platform.study.plan import InputRequest, PlannedTrial
from vip5platform.study.pretrain import needs_of_study, pretrain_backbones
from vip5platform.study.session import Needs, Session
from vip5platform.study.timeline import Timeline

from vip5core.baselines.identity import sasrec_folder
from vip5core.data.dataset import Dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.encoders import EncoderChoice
from vip5core.errors import Failure, UserError
from vip5core.home import Home
from vip5core.progress import Progress
from vip5core.trial.p5_spec import P5Stage

QUICK = {"samples_per_user": (1, 0, 0, 1), "train_candidates": 5, "validation_users": 5, "num_beams": 10}
RN50 = FeatureChoice(EncoderChoice("RN50", "tiny"))


def quick_stage(shop: Dataset, home: Home) -> P5Stage:
    return P5Stage.of("tiny", shop, home, {"epochs": 2, **QUICK})


@pytest.mark.slow
def test_on_one_cpu_everything_is_prepared_all_the_same(shop: Dataset, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(session_module, "ray_session", lambda address: ray_session(address, cpus=1))
    home = Home(tmp_path / "home")
    stage = quick_stage(shop, home)
    with Session(Options(home=home.root), home, Timeline()) as session:
        assert session.prepare(Needs([stage], [(shop, [RN50])], [(shop, small())]), trials=3) == {}
        assert session.divide(3)[1].cpus == 1
        session.finish()
    assert stage.folder.is_dir()
    assert list(home.features.glob("*/store.json"))
    assert sasrec_folder(shop, small(), home).is_dir()
    assert {"ray", "P5 stage", "features", "baselines"} == {span.stage for span in session.timeline.spans}


@pytest.mark.slow
def test_features_are_extracted_while_a_backbone_is_in_training(shop: Dataset, tmp_path: Path, monkeypatch):
    training = threading.Event()
    seen: list[str] = []

    @contextlib.contextmanager
    def stages() -> Iterator[Callable[[str], Progress]]:
        def add(what: str) -> Progress:
            def update(done: int, total: int, news: str = "") -> None:
                seen.append(f"{what} {done}/{total} {news}")
                if what == "P5 stage" and news:
                    training.set()

            return update

        yield add

    extract = feature_extraction.extract

    def wait_and_extract(*given: Any) -> dict[FeatureChoice, Path]:
        assert training.wait(300), "the P5 stage does not start before the features are extracted"
        return extract(*given)

    monkeypatch.setattr(session_module, "stages", stages)
    monkeypatch.setattr(feature_extraction, "extract", wait_and_extract)
    monkeypatch.setattr(session_module, "ray_session", lambda address: ray_session(address, cpus=2))
    home = Home(tmp_path / "home")
    with Session(Options(home=home.root), home, Timeline()) as session:
        assert session.prepare(Needs([quick_stage(shop, home)], [(shop, [RN50])]), trials=1) == {}
    assert "P5 stage + features" in session.timeline.seconds
    assert [line.split(" valid")[0] for line in seen if line.startswith("P5 stage")] == [
        "P5 stage 0/2 ",
        "P5 stage 0/2 starting …",
        "P5 stage 1/2",
        "P5 stage 2/2",
    ]


class FakeSession(SimpleNamespace):
    """A session that pretrains nothing and says that some stages failed."""

    def __init__(self, home: Home, *failing: str) -> None:
        super().__init__(home=home, options=Options(), failing=failing, needs=[])

    def prepare(self, needs: Needs, trials: int) -> dict[Path, Failure]:
        self.needs.append((needs, trials))
        return {
            stage.folder: Failure(kind="diverged", message="nan")
            for stage in needs.backbones
            if stage.config.backbone in self.failing
        }


def missing(shop: Dataset, home: Home, *names: str) -> dict[InputRequest, PreparedInputs | Failure]:
    return {
        InputRequest("minimart:40", None, name): PreparedInputs(shop, stage.folder, stage)
        for name in names
        for stage in [P5Stage.of(name, shop, home)]
    }


def test_one_backbone_that_fails_leaves_the_others(shop: Dataset, tmp_path: Path):
    home = Home(tmp_path)
    found = missing(shop, home, "tiny", "mini")
    tiny, mini = found
    session: Any = FakeSession(home, "mini")
    left = pretrain_backbones(found, lambda inputs: Needs(), 6, session)
    assert left[tiny] == found[tiny]
    failure = left[mini]
    assert isinstance(failure, Failure)
    assert failure.kind == "unavailable"
    assert failure.message == "P5 stage of mini on minimart, random ids: nan"
    with pytest.raises(UserError, match="P5 stage of tiny on minimart, random ids: nan"):
        pretrain_backbones(found, lambda inputs: Needs(), 6, FakeSession(home, "tiny", "mini"))  # type: ignore[arg-type]


def test_beside_backbones_what_their_trials_need_is_prepared_and_nothing_without(shop: Dataset, tmp_path: Path):
    home = Home(tmp_path)
    found = missing(shop, home, "tiny", "mini")
    planned = [
        PlannedTrial({}, request, small(encoder=encoder, encoder_weights="tiny", image_tokens=2))
        for request in found
        for encoder in ("RN50", "ViT-B/32")
    ]
    session: Any = FakeSession(home)
    pretrain_backbones(found, lambda inputs: needs_of_study(planned, inputs, session), len(planned), session)
    ((needs, trials),) = session.needs
    assert trials == 4
    assert [stage.config.backbone for stage in needs.backbones] == ["tiny", "mini"]
    assert needs.features == [(shop, [RN50, FeatureChoice(EncoderChoice("ViT-B/32", "tiny"))])]
    assert needs.baselines == [(shop, planned[0].config)]

    for prepared in found.values():
        assert isinstance(prepared, PreparedInputs)
        prepared.backbone.mkdir(parents=True)
    assert pretrain_backbones(found, pytest.fail, 4, session) is found
    assert len(session.needs) == 1


SCRIPT = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored in background jobs of a shell
    "from vip5platform import *; import sys; "
    "main(Study('s', 'Which?', (factor('reduction_factor', 4, 8),), {'image_tokens': 0}), sys.argv[1:])"
)


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_driver_that_ends_in_the_p5_stage_leaves_no_process_and_nothing_incomplete(tmp_path: Path, number, code):
    home = Home(tmp_path / "home")
    command = [sys.executable, "-c", SCRIPT, "--dataset", "minimart:40", "--p5-epochs", "1000", "--baselines", ""]
    with subprocess.Popen(
        [*command, "--home", str(home.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        while "starting" not in (line := driver.stdout.readline()) and line:
            pass
        assert line.startswith("P5 stage 0/1000")
        started = started_by(driver.pid)
        assert any("ray::_train" in process.name() for process in started)
        driver.send_signal(number)
        _, errors = driver.communicate(timeout=120)
    assert driver.returncode == code, errors[-2000:]
    assert ("run the same command again to continue" in errors) == (number == signal.SIGINT)
    assert "Traceback" not in errors
    assert left_of(started) == []
    assert list(home.datasets.glob("*/manifest.json"))
    # What was trained is kept, and nothing else.
    assert all(path.name.endswith(".running.pt") for path in home.backbones.glob("*"))
    assert not list(home.root.rglob("*.part"))
