"""P5 stages on Ray: side by side, the same bytes as in the driver whatever is killed, one failure leaves the others."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from vip5platform.cluster.pretraining import Pretraining
from vip5platform.cluster.resources import ClusterResources, TrialResources

from vip5core.backbones import P5_RECORD
from vip5core.data.dataset import Dataset
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.progress import Progress, no_progress
from vip5core.storage import remove_leftovers
from vip5core.trial.p5_record import P5Record
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
    bad = stage(shop, home, "tiny", learning_rate=1e30, clip=1e30, warmup=0.0, batch_size=16)
    told: list[tuple[Path, int, str]] = []

    def progress_of(stage: P5Stage) -> Progress:
        return lambda done, total, news="": told.append((stage.folder, done, news))

    training = Pretraining([tiny, mini, bad], ONE, home)
    failures = training.wait(progress_of)
    assert failures == {
        bad.folder: Failure(
            kind="diverged",
            message="DivergedError: the training loss is nan in epoch 1: try a lower one by --p5-set learning_rate= "
            "(it was 1e+30)",
        )
    }
    assert sorted(path.name for path in home.backbones.iterdir()) == sorted([tiny.folder.name, mini.folder.name])
    # Two have started before either of them has ended.
    started = [folder for folder, _, news in told if news == "starting …"]
    ended = [folder for folder, done, _ in told if done == 2]
    assert told.index((started[1], 0, "starting …")) < [(folder, done) for folder, done, _ in told].index((ended[0], 2))
    for good in (tiny, mini):
        assert [done for folder, done, _ in told if folder == good.folder] == [0, 0, 1, 2]
        assert [news for folder, _, news in told if folder == good.folder][-1].startswith("valid/score")

    # The same bytes in this process, whatever its threads.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = make_p5_backbone(shop, tiny.config, tmp_path / "here", lambda metrics: None, torch.device("cpu"))
    finally:
        torch.set_num_threads(threads)
    assert contents(tiny.folder) == contents(here)


class Killer(threading.Thread):
    """Kills (-9) the process of a stage at random moments after it has completed an epoch more than before.

    Attributes:
        killed: The epochs that were completed when each kill was sent.
    """

    def __init__(self, stage: P5Stage, title: str, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.stage, self.title, self.kills, self.rng = stage, title, kills, random.Random(seed)
        self.killed: list[int] = []

    def run(self) -> None:
        while len(self.killed) < self.kills and not self.stage.folder.is_dir():
            epochs = epochs_in(self.stage.checkpoint)
            if epochs > max([0, *self.killed]):
                time.sleep(self.rng.uniform(0.0, 0.3))
                for process in psutil.Process().children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        if self.title in " ".join(process.cmdline()):
                            process.kill()
                            self.killed.append(epochs)
                            break
            time.sleep(0.02)


def epochs_in(checkpoint: Path) -> int:
    """The epochs that a checkpoint has; 0 without one."""
    try:
        return len(torch.load(checkpoint, map_location="cpu", weights_only=True)["history"])
    except FileNotFoundError:
        return 0


DRIVER = """
import sys
from pathlib import Path
from vip5platform.environment import set_environment
set_environment(None)
from vip5platform.cluster.pretraining import Pretraining
from vip5platform.cluster.ray_cluster import ray_session
from vip5platform.cluster.resources import TrialResources
from vip5core.data.dataset import Dataset
from vip5core.home import Home
from vip5core.progress import no_progress
from vip5core.trial.p5_spec import P5Stage
if __name__ == "__main__":
    home = Home(Path(sys.argv[2]))
    stage = P5Stage.of("tiny", Dataset.load(sys.argv[1]), home, eval(sys.argv[3]))
    with ray_session(None, cpus=1):
        Pretraining([stage], TrialResources(1, 1, 0.0), home).wait(lambda stage: no_progress)
"""


@pytest.mark.long
def test_a_stage_in_pieces_ends_with_the_bytes_of_one_in_peace(
    shop: Dataset, tmp_path: Path, ray_two_cpus: ClusterResources
):
    """Its driver is killed, and its process is killed under the driver that goes on."""
    settings = {**QUICK, "epochs": 24, "samples_per_user": (6, 0, 0, 2), "dropout": 0.1}
    home = Home(tmp_path / "home")
    whole = P5Stage.of("tiny", shop, home, settings)
    peace = make_p5_backbone(shop, whole.config, tmp_path / "peace", lambda metrics: None, torch.device("cpu"))

    command = [sys.executable, "-c", DRIVER, str(shop.folder), str(home.root), repr(settings)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as driver:
        while not whole.checkpoint.is_file() and driver.poll() is None:
            time.sleep(0.02)
        time.sleep(random.Random(1).uniform(0.0, 1.0))
        driver.kill()
        _, errors = driver.communicate(timeout=60)
    assert driver.returncode == -signal.SIGKILL, errors[-2000:]
    assert not whole.folder.exists()
    before = epochs_in(whole.checkpoint)
    assert before > 0

    killer = Killer(whole, "ray::_train", kills=2, seed=2)
    killer.start()
    told: list[int] = []
    failures = Pretraining([whole], ONE, home).wait(lambda stage: lambda done, total, news="": told.append(done))
    killer.join()
    assert failures == {}
    assert len(killer.killed) == 2
    assert before <= killer.killed[0] < killer.killed[1] < whole.config.epochs
    assert told == [0, *range(whole.config.epochs + 1)]
    assert contents(whole.folder) == contents(peace)
    assert P5Record.load(whole.folder).history == P5Record.load(peace).history
    remove_leftovers(home.backbones)  # of a process that was killed while it wrote; every study does this
    assert [path.name for path in home.backbones.iterdir()] == [whole.folder.name]


@pytest.mark.parametrize(
    ("kills", "epochs", "samples"), [(0, 2, (1, 0, 0, 1)), pytest.param(1, 10, (6, 0, 0, 2), marks=pytest.mark.long)]
)
def test_a_worker_group_learns_what_one_worker_learns_even_if_a_worker_is_killed(
    shop: Dataset, tmp_path: Path, ray_two_cpus: ClusterResources, kills, epochs, samples
):
    settings = {**QUICK, "epochs": epochs, "samples_per_user": samples, "adam_epsilon": 1e-3}
    home = Home(tmp_path / "home")
    whole = P5Stage.of("tiny", shop, home, settings)
    alone = make_p5_backbone(shop, whole.config, tmp_path / "alone", lambda metrics: None, torch.device("cpu"))
    killer = Killer(whole, "RayTrainWorker", kills, seed=3)
    killer.start()
    told: list[int] = []
    training = Pretraining([whole], TrialResources(workers=2, cpus=1, gpus=0.0), home)
    assert training.wait(lambda stage: lambda done, total, news="": told.append(done)) == {}
    killer.join()
    assert len(killer.killed) == kills
    assert told == [0, *range(whole.config.epochs + 1)]
    both, one = P5Record.load(whole.folder), P5Record.load(alone)
    assert (both.record.workers, one.record.workers) == (2, 1)
    for ours, theirs in zip(both.history, one.history, strict=True):
        assert ours["valid/loss"] == pytest.approx(theirs["valid/loss"], abs=1e-2)
    assert not list(home.root.glob("tune-*"))


def test_a_wait_can_be_stopped_from_another_thread(shop: Dataset, tmp_path: Path, ray_two_cpus: ClusterResources):
    """The last one of this file, for what it starts keeps a CPU."""
    home = Home(tmp_path / "home")
    endless = stage(shop, home, "tiny", epochs=100_000)
    training = Pretraining([endless], ONE, home)
    waiting = threading.Thread(target=training.wait, args=(lambda stage: no_progress,))
    waiting.start()
    training.stop()
    waiting.join(timeout=30)
    assert not waiting.is_alive()
    assert not endless.folder.exists()
