"""What the trials of a study stand on: datasets, backbones, and where their features lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from vip5platform.cluster.feature_extraction import store_folder
from vip5platform.cluster.pretraining import backbone_folder, built_in_folder
from vip5platform.options import Options
from vip5platform.study.plan import InputRequest, PlannedTrial, encoders_of

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.data.sources import dataset_folder, options_of, prepare
from vip5core.errors import UserError
from vip5core.model import find_backbone, load_backbone
from vip5core.trial.spec import StudyInputs, TrialSpec
from vip5core.vocabulary import BUILT_IN, PROVIDED

#: Opens a stage of work: its name, to what tells its progress.
Stage = Callable[[str], AbstractContextManager[Callable[[int, int, str], None]]]


@dataclass(frozen=True)
class RunnableTrial:
    """A planned trial with its spec."""

    planned: PlannedTrial
    spec: TrialSpec


@dataclass(frozen=True)
class PreparedInputs:
    """A ground that is there.

    Attributes:
        dataset: open.
        backbone: its folder.
    """

    dataset: Dataset
    backbone: Path

    def trial(self, planned: PlannedTrial, home: Path) -> RunnableTrial:
        """A planned trial as it can be run here: text-only, if the dataset has no picture at all."""
        config = planned.config
        if self.lacks_pictures(config):
            config = TrialConfig.from_settings({**config.model_dump(), "image_tokens": 0})
            planned = replace(planned, config=config)
        return RunnableTrial(planned, self.spec(config, home))

    def spec(self, config: TrialConfig, home: Path) -> TrialSpec:
        choices = encoders_of([config])
        stores = {(choice.name, choice.weights): store_folder(self.dataset, choice, home) for choice in choices}
        return StudyInputs(home, self.dataset.folder, self.backbone, stores).spec(config)

    def lacks_pictures(self, config: TrialConfig) -> bool:
        pictured = bool(self.dataset.items["image_sha256"].notna().any())
        return config.uses_images and config.encoder_weights != PUBLISHED and not pictured


def check_given(options: Options, datasets: Iterable[str]) -> None:
    """Raises: UserError for `--ids` or `--source` with a dataset that is prepared already."""
    for dataset in datasets:
        if (Path(dataset) / "manifest.json").is_file() and (options.ids or options.source):
            given = f"--ids {options.ids}" if options.ids else f"--source {str(options.source)!r}"
            raise UserError(f"{given}: {dataset!r} is prepared already; leave it out, or prepare it again with it")


def prepare_inputs(
    grounds: Iterable[InputRequest], options: Options, home: Path, stage: Stage
) -> dict[InputRequest, PreparedInputs | UserError]:
    """Prepare every dataset and backbone that is not there yet, each once.

    Returns:
        Each ground; or, if there are several, why one cannot be had: the study goes on without it.

    Raises:
        UserError: if none can be had.
    """
    datasets: dict[tuple[str, str | None], Dataset] = {}
    prepared: dict[InputRequest, PreparedInputs | UserError] = {}
    for ground in dict.fromkeys(grounds):
        key = (ground.dataset, ground.ids)
        try:
            if key not in datasets:
                with stage("dataset" if ground.ids is None else f"dataset, {ground.ids} ids"):
                    how = options_of(ground.dataset, id_scheme=ground.ids)
                    datasets[key] = Dataset.load(prepare(ground.dataset, options.source, home, how))
            with stage("P5 stage" if ground.backbone in BUILT_IN else "backbone") as update:
                backbone = backbone_folder(ground.backbone, datasets[key], home, options.p5_epochs, update)
                load_backbone(backbone)  # what cannot be read is said now, not by every trial
            prepared[ground] = PreparedInputs(datasets[key], backbone)
        except UserError as error:
            prepared[ground] = error
    errors = [found for found in prepared.values() if isinstance(found, UserError)]
    if len(errors) == len(prepared):
        raise errors[0]
    return prepared


def find_inputs(grounds: Iterable[InputRequest], options: Options, home: Path) -> Mapping[InputRequest, PreparedInputs]:
    """Those grounds that are there already; nothing is made or downloaded."""
    found = {}
    for ground in dict.fromkeys(grounds):
        how = options_of(ground.dataset, id_scheme=ground.ids)
        folder = dataset_folder(ground.dataset, options.source, home, how)
        if not folder.is_dir():
            continue
        dataset = Dataset.load(folder)
        if ground.backbone in BUILT_IN:
            backbone = built_in_folder(ground.backbone, dataset, home, options.p5_epochs)
        else:
            backbone = home / "backbones" / ground.backbone.replace("/", "--")
            if Path(ground.backbone).expanduser().is_dir():
                backbone = find_backbone(ground.backbone, home)
        if backbone.is_dir():
            found[ground] = PreparedInputs(dataset, backbone)
    return found
