"""A node that runs out of memory costs the trial whose process Ray kills, and no other."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest
from support.faults import Injector
from support.trials import small
from vip5platform.cluster.ray_cluster import ray_session
from vip5platform.cluster.resources import TrialResources
from vip5platform.cluster.tune import run_trials

from vip5core.errors import Failure
from vip5core.trial.spec import StudyInputs, TrialSpec

GB = 2**30
#: Takes memory until its input is closed, which the end of this process does, too.
HOG = f"import sys; taken = b'x' * {3 * GB}; sys.stdin.read()"


class Hog(Injector):
    """Takes 3 GB of the node's memory at the second epoch of the first trial, and gives it back when a trial fails."""

    process: subprocess.Popen[bytes] | None = None

    def epoch(self, spec, metrics) -> None:
        super().epoch(spec, metrics)
        if self.process is None and metrics["epoch"] == 2:
            self.process = subprocess.Popen([sys.executable, "-c", HOG], stdin=subprocess.PIPE)

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        super().failed(spec, failure)
        self.end()

    def end(self) -> None:
        if self.process is not None:
            self.process.communicate()


@pytest.mark.slow
@pytest.mark.long
def test_only_the_trial_that_was_killed_has_failed_and_says_what_to_do(
    text_only: StudyInputs, monkeypatch: pytest.MonkeyPatch
):
    memory = psutil.virtual_memory()
    if memory.available < 5 * GB:
        pytest.skip("needs 5 GB of free memory")
    full = (memory.total - memory.available + 1.5 * GB) / memory.total
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{full:.4f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    hungry, other = text_only.spec(small(epochs=100)), text_only.spec(small(epochs=1))
    seen = Hog()
    with ray_session(None, cpus=1):
        try:
            run_trials([hungry, other], text_only.home, TrialResources(1, 1, 0.0), 1, seen)
        finally:
            seen.end()
    assert seen.finished_trials == [other.fingerprint]
    assert list(seen.failures) == [hungry.fingerprint]
    assert seen.retries == []
    failure = seen.failures[hungry.fingerprint]
    assert failure.kind == "out_of_memory"
    assert failure.message.startswith("its process was killed because node ")
    assert failure.message.endswith("GB in use): run fewer trials at once, or use nodes with more memory")
