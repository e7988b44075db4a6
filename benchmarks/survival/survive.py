"""Runs the study in peace, then again and again in pieces, and compares."""

from __future__ import annotations

import random
import re
import shutil
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.local_cluster import local_cluster, trial_processes
from benchmarks.survival.compare import differences
from benchmarks.survival.faults import Faults, MlflowServer
from benchmarks.survival.study import SmallStudy
from vip5core.home import Home

#: What drivers print if MLflow may have missed something.
_MISSED = "warning: MLflow"
#: What drivers print of faults, by how its line begins (after Ray's name of a process).
_TOLD = {
    re.compile(rf"^(?:\(.*?\) )?{mark}", re.MULTILINE): what
    for mark, what in {
        "↻": "trial restarted",
        "✗": "trial given up",
        _MISSED: "MLflow warning",
        "error:": "error",
        "Traceback": "traceback",
    }.items()
}
#: The share of faults that come within `_SOON_S` after an epoch; the others come within `_ANY_S`, whatever goes on.
_AT_EPOCHS, _SOON_S, _ANY_S = 0.75, 2.0, 10.0
#: Seconds in which the driver tells the end of a process, if it does.
_TOLD_WITHIN_S = 90.0


@dataclass
class Injected:
    """One fault.

    Attributes:
        name: What was done.
        told: What the user was told of it, by the values of `_TOLD`.
        repeated: The seconds since the last complete epoch of a trial in the middle.
    """

    name: str
    told: Counter[str] = field(default_factory=Counter)
    repeated: float = 0.0


@dataclass
class Survival:
    """What was done, and what came out differently.

    Attributes:
        faults: What was injected.
        studies: How many studies in pieces it took.
        resumed: How many of the drivers found a trial in the middle.
        trained_again: How many finished trials were.
        caught_up: Studies whose command was given once more for what MLflow had missed, as their warning says.
        mismatches: Each difference, in a line.
    """

    faults: list[Injected] = field(default_factory=list)
    studies: int = 0
    resumed: int = 0
    trained_again: int = 0
    caught_up: int = 0
    mismatches: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, ...]]:
        """By fault: its name, how often, what was told, how many trials were given up, the seconds repeated."""
        rows: list[tuple[str, ...]] = []
        for name in dict.fromkeys(fault.name for fault in self.faults):
            these = [fault for fault in self.faults if fault.name == name]
            told: Counter[str] = Counter(what for fault in these for what in fault.told)
            told["nothing"] = sum(not fault.told for fault in these)
            repeated = [fault.repeated for fault in these]
            rows.append(
                (
                    name,
                    str(len(these)),
                    ", ".join(f"{what} {count}" for what, count in told.most_common() if count),
                    str(sum(fault.told["trial given up"] for fault in these)),
                    f"{statistics.median(repeated):.1f}, {max(repeated):.1f}" if name != "mlflow" else "–",
                )
            )
        return rows


def survive(
    folder: Path,
    kills: int,
    of: Sequence[str] = ("driver",),
    seed: int = 0,
    *,
    epochs: int = 20,
    inputs_first: bool = False,
    minutes: float = float("inf"),
    tell: Callable[[str], None] = lambda line: None,
) -> Survival:
    """Run the study in peace and in pieces under `folder`, and compare.

    Args:
        folder: All homes are made in it.
        kills: How many faults are injected.
        of: Their names, as of `Faults.known`; each is injected as often as the others.
        seed: Of the moments, and of what is chosen.
        epochs: Of each trial.
        inputs_first: Start the first study in pieces with the dataset, backbone and features of the one in peace, so
            that faults meet its trials alone; all further ones are started so.
        minutes: After which no more faults are injected.
        tell: Takes a line about each fault when it has been injected.
    """
    rng = random.Random(seed)
    names = _evenly(of, rng)
    peace = SmallStudy(Home(folder / "peace"), epochs)
    peace.finish()
    found, end = Survival(), time.monotonic() + 60 * minutes
    with local_cluster(nodes=2) as cluster:
        while len(found.faults) < kills and time.monotonic() < end:
            found.studies += 1
            home = Home(folder / f"pieces{found.studies}")
            with MlflowServer(home) as server:
                if inputs_first or found.studies > 1:
                    for made in (peace.home.datasets, peace.home.backbones, peace.home.features):
                        shutil.copytree(made, home.root / made.name)
                options = ("--address", cluster.address, "--tracking-uri", server.uri)
                pieces = SmallStudy(home, epochs, options)
                _disturb(pieces, Faults(cluster, server, rng), names, kills, end, found, tell)
                if differences(peace.home, home) and _MISSED in pieces.log.read_text("utf-8", errors="replace"):
                    found.caught_up += 1
                    pieces.finish()  # as the warning says
            found.mismatches += [f"study {found.studies}: {line}" for line in differences(peace.home, home)]
    return found


def _evenly(names: Sequence[str], rng: random.Random) -> Iterator[str]:
    """The names in an order by chance, each as often as the others."""
    while True:
        yield from rng.sample(names, len(names))


def _disturb(
    study: SmallStudy,
    faults: Faults,
    names: Iterator[str],
    kills: int,
    end: float,
    found: Survival,
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Run a study, and inject faults until it has ended or there were enough; then let it end."""
    finished: dict[str, int] = {}
    told, last = _Told(study.log), Injected("nothing")
    driver = study.start()
    try:
        while len(found.faults) < kills and time.monotonic() < end:
            if not _wait(study, driver, faults.rng):
                if driver.returncode == 0:
                    break
                driver = study.start()  # it has given up a trial; a user gives the same command again
                continue
            fault = Injected(next(names), repeated=_since_epoch(study))
            last.told += told.read()
            finished.update(study.finished())
            if not faults.inject(fault.name, driver):
                continue
            found.faults.append(fault)
            tell(f"{len(found.faults)} of {kills}: {fault.name}, {fault.repeated:.0f} s after an epoch")
            last = fault
            if fault.name == "driver":
                found.resumed += bool(study.checkpoints())
                driver = study.start()
            elif fault.name != "mlflow":
                told.wait(driver)
        driver.wait()
        last.told += told.read()
    finally:
        driver.kill()  # which does nothing to one that has ended
    if driver.returncode:
        study.finish()
    after = study.finished()
    found.trained_again += sum(after.get(name) != when for name, when in finished.items())


def _wait(study: SmallStudy, driver: subprocess.Popen[bytes], rng: random.Random) -> bool:
    """Wait for the moment of the next fault; False if the driver ends before."""
    if rng.random() < _AT_EPOCHS:
        if not study.wait_for_epoch(driver):
            return False
        seconds = rng.uniform(0.0, _SOON_S)
    else:
        seconds = rng.uniform(0.0, _ANY_S)
    try:
        driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _since_epoch(study: SmallStudy) -> float:
    """The seconds for which a trial has trained since its last complete epoch, the longest of those that run."""
    processes = trial_processes()
    if not processes:
        return 0.0
    begin = min(process.create_time() for process in processes)  # a checkpoint may be of an earlier driver
    return max((time.time() - max(when, begin) for when in study.checkpoints().values()), default=0.0)


class _Told:
    """Reads what a log says of faults.

    Args:
        log: The file.
    """

    def __init__(self, log: Path) -> None:
        self.log, self.place = log, 0

    def read(self) -> Counter[str]:
        """What is new."""
        text = self._new()
        self.place += len(text)
        return Counter({what: count for mark, what in _TOLD.items() if (count := len(mark.findall(text)))})

    def wait(self, driver: subprocess.Popen[bytes]) -> None:
        """Wait until there is something."""
        deadline = time.monotonic() + _TOLD_WITHIN_S
        while time.monotonic() < deadline and driver.poll() is None:
            if any(mark.search(self._new()) for mark in _TOLD):
                return
            time.sleep(0.1)

    def _new(self) -> str:
        return self.log.read_text("utf-8", errors="replace")[self.place :]
