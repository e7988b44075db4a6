"""Find what a finished trial was made of: its dataset, backbone and features, by their fingerprints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
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

    def find(what: str, wanted: str, folders: Iterable[Path], identity: Callable[[Path], str]) -> Path:
        for folder in folders:
            with suppress(UserError):  # of another version; it is not the one
                if identity(folder) == wanted:
                    return folder
        raise UserError(
            f"the trial's {what} ({wanted}) is not in {str(home)!r} any more: run its study again, or give the right "
            "--home"
        )

    data, backbone, features = record.dataset, record.backbone, record.features
    return ModelFiles(
        result.folder,
        find(f"dataset {data.name!r}", data.fingerprint, _datasets(home), _dataset_fingerprint),
        find(
            f"backbone {backbone.name!r}", backbone.fingerprint, _backbones(backbone.name, home), backbone_fingerprint
        ),
        find("features", features, _stores(features, home), lambda store: store.name) if features else None,
    )


def _dataset_fingerprint(folder: Path) -> str:
    return read_manifest(folder / MANIFEST).fingerprint


def _datasets(home: Home) -> Iterator[Path]:
    """The datasets of a home, and those elsewhere that its studies have used."""
    folders = dict.fromkeys(sorted(home.fetch_all(home.datasets).glob("*")))
    for file in sorted(home.fetch_all(home.reports).glob(f"*/{RECORD}")):
        with suppress(UserError):  # a record that cannot be read names no dataset
            folders |= dict.fromkeys(Path(trial.dataset) for trial in load_record(file.parent).trials if trial.dataset)
    return (folder for folder in folders if (folder / MANIFEST).is_file())


def _stores(features: str, home: Home) -> Iterator[Path]:
    """The feature store of that name, if it is there."""
    return (folder for folder in [home.fetch(home.features / features)] if folder.is_dir())


def _backbones(name: str, home: Home) -> Iterator[Path]:
    """The backbones that may be the one called `name`, the likely ones first: their weights have to be read."""
    folders = sorted(
        home.fetch_all(home.backbones).glob("*"), key=lambda folder: (not folder.name.startswith(name), folder.name)
    )
    return (folder for folder in (*folders, Path(name).expanduser()) if (folder / "config.json").is_file())
