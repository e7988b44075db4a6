"""The MLflow runs of a study, opened when there is something to record."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vip5core.home import Home
from vip5platform.tracking.recorded import RecordedStudy, find_recorded_study

if TYPE_CHECKING:
    from vip5platform.tracking.tracker import Tracker


@dataclass(frozen=True)
class Recording:
    """The MLflow runs of one study; the attributes are the arguments of `Tracker`."""

    uri: str
    home: Home
    name: str
    key: str
    tags: Mapping[str, str]

    @functools.cached_property
    def tracker(self) -> Tracker:
        """The open runs.

        Raises:
            UserError: If MLflow cannot be reached.
        """
        from vip5platform.tracking.tracker import Tracker  # late, because MLflow takes seconds to import

        return Tracker(self.uri, self.home, self.name, self.key, self.tags)

    @property
    def is_open(self) -> bool:
        """Has this process opened the runs?"""
        return "tracker" in vars(self)

    @functools.cached_property
    def _before(self) -> RecordedStudy | None:
        return find_recorded_study(self.uri, self.key)

    @property
    def parent(self) -> str:
        """The id of the study's run."""
        return self._before.parent if self._before and not self.is_open else self.tracker.parent

    @property
    def experiment(self) -> str:
        """The id of MLflow's experiment."""
        return self._before.experiment if self._before and not self.is_open else self.tracker.experiment

    def has(self, trials: Iterable[str], stages: Iterable[str]) -> bool:
        """Were these trials and P5 stages, and the study itself, recorded before? If so, opening the runs adds nothing.

        Args:
            trials: The fingerprints of trials.
            stages: The names of P5 stages.
        """
        before = None if self.is_open else self._before
        return before is not None and before.trials.issuperset(trials) and before.stages.issuperset(stages)

    def has_content(self, content: str) -> bool:
        """Was this content of the study recorded by an earlier run?"""
        return not self.is_open and self._before is not None and self._before.content == content

    def mark_killed(self) -> None:
        """End all running runs as killed, because the study was interrupted."""
        if self.is_open:
            self.tracker.mark_killed()
