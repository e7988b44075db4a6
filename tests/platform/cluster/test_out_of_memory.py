"""A node that runs out of memory costs the trial whose process Ray kills, and no other."""

from __future__ import annotations

import pytest
from support.faults import Injector
from support.full_memory import FullMemory
from support.trials import small
from vip5platform.cluster.ray_cluster import ray_session
from vip5platform.cluster.resources import TrialResources
from vip5platform.cluster.tune import run_trials

from vip5core.errors import Failure
from vip5core.trial.spec import StudyInputs, TrialSpec


class Hog(Injector):
    """Fills the memory at the second epoch of the first trial, and frees it when a trial fails."""

    def __init__(self, memory: FullMemory) -> None:
        super().__init__()
        self.memory = memory

    def epoch(self, spec, metrics) -> None:
        super().epoch(spec, metrics)
        if not self.memory.is_full and metrics["epoch"] == 2:
            self.memory.fill()

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        super().failed(spec, failure)
        self.memory.free()


@pytest.mark.long
def test_only_the_trial_that_was_killed_has_failed_and_says_what_to_do(
    text_only: StudyInputs, monkeypatch: pytest.MonkeyPatch
):
    memory = FullMemory(monkeypatch)
    hungry, other = text_only.spec(small(epochs=100)), text_only.spec(small(epochs=1))
    seen = Hog(memory)
    with ray_session(None, cpus=1):
        try:
            run_trials([hungry, other], text_only.home, TrialResources(1, 1, 0.0), 1, seen)
        finally:
            memory.free()
    assert seen.finished_trials == [other.fingerprint]
    assert list(seen.failures) == [hungry.fingerprint]
    assert seen.retries == []
    failure = seen.failures[hungry.fingerprint]
    assert failure.kind == "out_of_memory"
    assert failure.message.startswith("its process was killed because node ")
    assert failure.message.endswith("GB in use): run fewer trials at once, or use nodes with more memory")
