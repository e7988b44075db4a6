"""What a home holds: its studies, and what none of them needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vip5core.backbones import P5_RECORD, backbone_fingerprint
from vip5core.errors import UserError, first_line
from vip5core.fingerprint import code_version
from vip5core.home import Home
from vip5core.trial.result import RESULT, TrialRecord, has_result
from vip5platform.analysis.record import RECORD, RecordedTrial, StudyRecord, load_record


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; 0 if there is none."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


@dataclass(frozen=True)
class HeldStudy:
    """A study in a home.

    Attributes:
        folder: The folder of its report.
        record: Its record; None for a study that was interrupted before it had one.
    """

    folder: Path
    record: StudyRecord | None

    def trials(self, home: Home) -> list[Path]:
        """The folders of its finished trials."""
        found = (
            [home.trial(trial.fingerprint) for trial in self.record.trials if trial.fingerprint] if self.record else []
        )
        return [folder for folder in dict.fromkeys(found) if has_result(folder)]

    def size(self, home: Home) -> int:
        """The bytes of its report and its trials, which other studies may share."""
        return sum(map(size_of, [self.folder, *self.trials(home)]))


def study_folders(home: Home) -> list[Path]:
    """The folders of a home's reports, the latest first."""
    folders = [folder for folder in home.reports.glob("*") if folder.is_dir()]
    return sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)


def held_study(folder: Path) -> HeldStudy:
    """The study of a report's folder.

    Raises:
        UserError: If it has a record that cannot be read.
    """
    return HeldStudy(folder, load_record(folder) if (folder / RECORD).is_file() else None)


def unneeded(home: Home) -> list[Path]:
    """The files and folders that no study with a record needs, for its report or to be continued; MLflow's apart.

    Finished trials that a study of the present code would reuse are kept, whichever study trained them: a record names
    those of its last run alone. Backbones and features are kept while a trial of a study has no result yet: which of
    them it needs is not recorded.

    Raises:
        UserError: If a record or a result cannot be read.
    """
    studies = [held_study(folder) for folder in study_folders(home)]
    needed = set(_needed(home, studies))
    shared = {home.replaced_trials, home.features / "shards"}
    incomplete = any(_may_run(trial, home) for study in studies if study.record for trial in study.record.trials)
    kept = (home.trials, home.datasets, home.baselines, home.searches, home.reports)
    places = kept if incomplete else (*kept, home.backbones, home.features, home.features / "shards")
    found = [path for place in places for path in sorted(place.glob("*")) if not path.name.startswith(".")]
    return [*home.replaced_trials.glob("*"), *(path for path in found if path not in needed | shared)]


def interrupted(home: Home) -> list[str]:
    """The names of studies without a record, and the checkpoints of P5 stages, which come before any."""
    studies = (folder.name for folder in study_folders(home) if held_study(folder).record is None)
    return [*studies, *(path.name for path in home.backbones.glob("[!.]*.running.pt"))]


def _may_run(trial: RecordedTrial, home: Home) -> bool:
    finished = bool(trial.fingerprint) and has_result(home.trial(trial.fingerprint))
    return not finished and (trial.failure is None or trial.failure.retryable)


def _needed(home: Home, studies: list[HeldStudy]) -> Iterator[Path]:
    datasets, backbones = set(), set()
    for study in studies:
        if study.record is None:
            continue
        yield study.folder
        yield from home.searches.glob(f"{study.record.key}*")
        yield from (home.baselines / folder for folder in study.record.sasrec.values())
        # By name: the home may have been moved since.
        yield from (home.datasets / Path(trial.dataset).name for trial in study.record.trials if trial.dataset)
        for trial in study.record.trials:
            yield from (home.trial(trial.fingerprint), home.checkpoint(trial.fingerprint))
    for folder in dict.fromkeys([*(done for study in studies for done in study.trials(home)), *_reusable(home)]):
        record = _record_of(folder)
        yield folder
        datasets.add(record.dataset.fingerprint)
        backbones |= {record.backbone.fingerprint} if record.backbone else set()
        if record.features:
            yield from _features(home, record.features)
    yield from _datasets(home, datasets)
    yield from (folder for folder in home.baselines.glob("[!.]*") if _record_of(folder).dataset.fingerprint in datasets)
    yield from _backbones(home, backbones)


def _reusable(home: Home) -> list[Path]:
    """The finished trials of the present code."""
    code = code_version()
    return [folder for folder in home.trials.glob("[!.]*") if has_result(folder) and _record_of(folder).code == code]


def _datasets(home: Home, fingerprints: set[str]) -> Iterator[Path]:
    """The folders of these datasets."""
    from vip5core.data.dataset import MANIFEST, read_manifest  # late: pandas takes a part of a second

    for folder in (file.parent for file in home.datasets.glob(f"[!.]*/{MANIFEST}")):
        with suppress(UserError):  # of another version of the code, which makes its datasets anew
            if read_manifest(folder / MANIFEST).fingerprint in fingerprints:
                yield folder


def _record_of(folder: Path) -> TrialRecord:
    try:
        return TrialRecord(**json.loads((folder / RESULT).read_text("utf-8"))["record"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{str(folder)!r} has no readable result ({first_line(error)}): remove it yourself") from None


def _features(home: Home, name: str) -> Iterator[Path]:
    """A feature store and the shards that it was assembled from."""
    store = home.features / name
    yield store
    if (store / "store.json").is_file():
        made_of = json.loads((store / "store.json").read_text("utf-8"))
        yield home.shards(made_of.get("encoder", {}).get("fingerprint", ""))


def _backbones(home: Home, fingerprints: set[str]) -> Iterator[Path]:
    """The folders of these backbones, and of the T5 that the P5 stage of each started from."""
    folders = {backbone_fingerprint(folder): folder for folder in home.backbones.glob("[!.]*") if folder.is_dir()}
    for folder in (folders[one] for one in fingerprints if one in folders):
        yield folder
        if (folder / P5_RECORD).is_file():
            start = json.loads((folder / P5_RECORD).read_text("utf-8"))["record"]["backbone"]
            yield from [folders[start["fingerprint"]]] if start and start["fingerprint"] in folders else []
