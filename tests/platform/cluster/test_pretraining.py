"""P5 stages as Ray tasks: side by side, the same bytes as in the driver, and one failure leaves the others."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from vip5platform.cluster.pretraining import Pretraining
from vip5platform.cluster.resources import ClusterResources, TrialResources

from vip5core.backbones import P5_RECORD
from vip5core.data.dataset import Dataset
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.progress import Progress, no_progress
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.p5_stage import make_p5_backbone

pytestmark = pytest.mark.slow

ONE = TrialResources(workers=1, cpus=1, gpus=0.0)
QUICK = {"samples_per_user": (1, 0, 0, 1), "train_candidates": 5, "validation_users": 5, "num_beams": 10}


def stage(shop: Dataset, home: Home, name: str, **changes: object) -> P5Stage:
    return P5Stage.of(name, shop, home, {"epochs": 2, **QUICK, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    """All of a backbone but how long it took."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != P5_RECORD}


def test_stages_run_side_by_side_and_one_that_fails_leaves_the_others(
    shop: Dataset, tmp_path: Path, ray_two_cpus: ClusterResources
):
    home = Home(tmp_path / "home")
    tiny, mini = stage(shop, home, "tiny"), stage(shop, home, "mini")
    bad = stage(shop, home, "tiny", learning_rate=1e30, clip=1e30)
    told: list[tuple[Path, int, str]] = []

    def progress_of(stage: P5Stage) -> Progress:
        return lambda done, total, news="": told.append((stage.folder, done, news))

    training = Pretraining([tiny, mini, bad], ONE, home)
    failures = training.wait(progress_of)
    assert failures == {
        bad.folder: Failure(
            kind="diverged",
            message="DivergedError: the training loss is nan in epoch 1: try a lower learning_rate by "
            "--p5-set learning_rate= (it was 1e+30)",
        )
    }
    assert sorted(path.name for path in home.backbones.iterdir()) == sorted([tiny.folder.name, mini.folder.name])
    # Two have started before either of them has ended.
    started = [folder for folder, _, news in told if news == "starting …"]
    ended = [folder for folder, done, _ in told if done == 2]
    assert told.index((started[1], 0, "starting …")) < [(folder, done) for folder, done, _ in told].index((ended[0], 2))
    for good in (tiny, mini):
        assert [done for folder, done, _ in told if folder == good.folder] == [0, 0, 1, 2]
        assert [news for folder, _, news in told if folder == good.folder][-1].startswith("valid/loss")

    # The same bytes in this process, whatever its threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = make_p5_backbone(shop, tiny.config, tmp_path / "here", lambda metrics: None, torch.device("cpu"))
    finally:
        torch.set_num_threads(threads)
    assert contents(tiny.folder) == contents(here)


def test_a_wait_can_be_stopped_from_another_thread(shop: Dataset, tmp_path: Path, ray_two_cpus: ClusterResources):
    home = Home(tmp_path / "home")
    endless = stage(shop, home, "tiny", epochs=100_000)
    training = Pretraining([endless], ONE, home)
    waiting = threading.Thread(target=training.wait, args=(lambda stage: no_progress,))
    waiting.start()
    training.stop()
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert not endless.folder.exists()
