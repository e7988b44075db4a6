"""How the P5 stage of a backbone went: its settings, epochs and costs, kept beside the weights in the same folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vip5core.backbones import P5_RECORD
from vip5core.config import P5Config
from vip5core.errors import UserError, first_line
from vip5core.trial.result import TrialRecord, result_text


@dataclass(frozen=True)
class P5Record:
    """A finished P5 stage.

    Attributes:
        config: The settings of the stage.
        metrics: The `cost/` and `model/` metrics, and the `valid/` metrics of the best epoch.
        history: The metrics of each epoch.
        record: How it came about; its `backbone` is the T5 that the stage started from, None for a built-in one.
    """

    config: P5Config
    metrics: dict[str, float]
    history: list[dict[str, float]]
    record: TrialRecord

    @property
    def text(self) -> str:
        """The content of the file `P5_RECORD`."""
        return result_text(self.config, self.metrics, self.history, self.record)

    @classmethod
    def load(cls, folder: Path) -> P5Record:
        """Read the record in the folder of a backbone.

        Raises:
            UserError: if there is none that this code can read.
        """
        try:
            data = json.loads((folder / P5_RECORD).read_text("utf-8"))
            record = TrialRecord(**data["record"])
            return cls(P5Config(**data["config"]), data["metrics"], data["history"], record)
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:  # pydantic's errors are ValueErrors
            raise UserError(
                f"{str(folder)!r} has no readable record of a P5 stage ({first_line(error)}): train it again"
            ) from None
