"""Find what a finished trial was made of: its dataset, backbone and features, by their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from vip5core.backbones import backbone_fingerprint
from vip5core.data.dataset import MANIFEST, read_manifest
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.serving import ModelFiles
from vip5core.trial.result import TrialResult
from vip5platform.analysis.record import RECORD, load_record


def find_files(result: TrialResult, home: Home) -> ModelFiles:
    """The folders of a trial and its inputs.

    Raises:
        UserError: if an input is neither in `home` nor where a study of this home had it.
    """
    record = result.record
    if record.backbone is None:
        raise UserError(f"{result.folder.name} is a baseline, not a trained model: name a trial")
    dataset = _first(
        (
            folder
            for folder in _datasets(home)
            if read_manifest(folder / MANIFEST).fingerprint == record.dataset.fingerprint
        ),
        f"dataset {record.dataset.name!r} ({record.dataset.fingerprint})",
        home,
    )
    backbone = _first(
        (
            folder
            for folder in _backbones(record.backbone.name, home)
            if backbone_fingerprint(folder) == record.backbone.fingerprint
        ),
        f"backbone {record.backbone.name!r} ({record.backbone.fingerprint})",
        home,
    )
    features = None
    if record.features is not None:
        stores = [home.features / record.features]
        features = _first((s for s in stores if s.is_dir()), f"features {record.features}", home)
    return ModelFiles(result.folder, dataset, backbone, features)


def _first(found: Iterator[Path], what: str, home: Home) -> Path:
    folder = next(found, None)
    if folder is None:
        raise UserError(
            f"the trial's {what} is not in {str(home)!r} any more: run its study again, or give the right --home"
        )
    return folder


def _datasets(home: Home) -> Iterable[Path]:
    """The datasets of a home, and those elsewhere that its studies have used."""
    records = (load_record(file.parent) for file in sorted(home.reports.glob(f"*/{RECORD}")))
    elsewhere = (Path(trial.dataset) for record in records for trial in record.trials if trial.dataset)
    folders = dict.fromkeys([*sorted(home.datasets.glob("*")), *elsewhere])
    return [folder for folder in folders if (folder / MANIFEST).is_file()]


def _backbones(name: str, home: Home) -> Iterable[Path]:
    """The backbones that may be the one called `name`, the likely ones first: their weights have to be read."""
    folders = sorted(home.backbones.glob("*"), key=lambda folder: (not folder.name.startswith(name), folder.name))
    return [folder for folder in (*folders, Path(name).expanduser()) if (folder / "config.json").is_file()]
