"""The inputs of trials: datasets, backbones, and the folders of image features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from vip5core.backbones import find_backbone
from vip5core.config import TrialConfig
from vip5core.data.dataset import MANIFEST, Dataset, open_dataset
from vip5core.data.sources import dataset_folder, options_of, prepare
from vip5core.encoders import EncoderChoice
from vip5core.errors import Failure, UserError
from vip5core.home import Home
from vip5core.progress import Progress
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.spec import StudyInputs, TrialSpec
from vip5core.vocabulary import BUILT_IN, PROVIDED
from vip5platform.cluster.feature_stores import store_folder
from vip5platform.options import Options
from vip5platform.study.plan import InputRequest, PlannedTrial, encoders_of

#: Starts a named stage of work and yields the function that reports its progress.
Stage = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class RunnableTrial:
    """A planned trial whose inputs are available."""

    planned: PlannedTrial
    spec: TrialSpec


@dataclass(frozen=True)
class UnavailableTrial:
    """A planned trial whose dataset or backbone could not be prepared."""

    planned: PlannedTrial
    failure: Failure


@dataclass(frozen=True)
class PreparedInputs:
    """Inputs that are available, but for a built-in backbone that still has to be pretrained.

    Attributes:
        dataset: The opened dataset.
        backbone: The folder of the backbone.
    """

    dataset: Dataset
    backbone: Path

    @property
    def lacks_backbone(self) -> bool:
        """Does the backbone still have to be pretrained?"""
        return not self.backbone.is_dir()

    def trial(self, planned: PlannedTrial, home: Home) -> RunnableTrial:
        """The trial as it can be run."""
        planned = self.adapt(planned)
        return RunnableTrial(planned, self.spec(planned.config, home))

    def adapt(self, planned: PlannedTrial) -> PlannedTrial:
        """The trial, text-only if the dataset has no images."""
        if not self.lacks_images(planned.config):
            return planned
        settings = {**planned.config.model_dump(), "image_tokens": 0}
        return replace(planned, config=TrialConfig.from_settings(settings))

    def spec(self, config: TrialConfig, home: Home) -> TrialSpec:
        """The specification of a trial with these inputs."""
        choices = encoders_of([config])
        stores = {(choice.name, choice.weights): store_folder(self.dataset, choice, home) for choice in choices}
        return StudyInputs(home, self.dataset.folder, self.backbone, stores).spec(config)

    def lacks_images(self, config: TrialConfig) -> bool:
        """Does the config need images although the dataset has none?"""
        return config.uses_images and config.encoder_weights != PROVIDED and not self.dataset.has_images


#: The inputs of each request, or why there are none.
Found = Mapping[InputRequest, PreparedInputs | Failure]


def join_features(
    encoders: Mapping[InputRequest, Sequence[EncoderChoice]], inputs: Mapping[InputRequest, PreparedInputs]
) -> list[tuple[Dataset, list[EncoderChoice]]]:
    """The encoders of each dataset from those of each request, so that each image is decoded once for all."""
    datasets: dict[Path, Dataset] = {}
    choices: dict[Path, dict[EncoderChoice, None]] = {}
    for request, of_request in encoders.items():
        dataset = inputs[request].dataset
        datasets[dataset.folder] = dataset
        choices.setdefault(dataset.folder, {}).update(dict.fromkeys(of_request))
    return [(datasets[folder], list(of_dataset)) for folder, of_dataset in choices.items()]


def questions(
    examples: Mapping[InputRequest, TrialConfig], inputs: Mapping[InputRequest, PreparedInputs]
) -> dict[str, tuple[Dataset, TrialConfig]]:
    """The opened dataset and the config that determines its test questions, by dataset as requested.

    Args:
        examples: The config of the first trial of each request, in the order of the trials; of the requests of one
            dataset, the first counts.
        inputs: The available inputs.
    """
    found: dict[str, tuple[Dataset, TrialConfig]] = {}
    for request, config in examples.items():
        found.setdefault(request.dataset, (inputs[request].dataset, config))
    return found


def check_inputs(options: Options, datasets: Iterable[str]) -> None:
    """Refuse `--ids` or `--source` with an already prepared dataset.

    Raises:
        UserError: Naming the option and the dataset.
    """
    for dataset in datasets:
        if (Path(dataset) / MANIFEST).is_file() and (options.ids or options.source):
            given = f"--ids {options.ids}" if options.ids else f"--source {str(options.source)!r}"
            raise UserError(
                f"{given}: {dataset!r} is already prepared; omit the option, or prepare the dataset again with it"
            )


def prepare_inputs(
    requests: Iterable[InputRequest], options: Options, home: Home, stage: Stage
) -> dict[InputRequest, PreparedInputs | Failure]:
    """Prepare all missing datasets, and find or download the backbones that are not built in, each once.

    Returns:
        The inputs of each request, or why they could not be prepared; the study continues with the others.

    Raises:
        UserError: If no request can be prepared.
    """
    datasets: dict[tuple[str, str | None], Dataset] = {}
    prepared: dict[InputRequest, PreparedInputs | Failure] = {}
    errors: list[UserError] = []
    for request in dict.fromkeys(requests):
        key = (request.dataset, request.ids)
        try:
            if key not in datasets:
                with stage("dataset" if request.ids is None else f"dataset, {request.ids} ids"):
                    build_options = options_of(request.dataset, id_scheme=request.ids)
                    datasets[key] = open_dataset(prepare(request.dataset, options.source, home, build_options))
            with stage("backbone"):
                prepared[request] = _find_backbone(request.backbone, datasets[key], options, home)
        except UserError as error:
            errors.append(error)
            prepared[request] = Failure(kind="unavailable", message=str(error))
    if len(errors) == len(prepared):
        raise errors[0]
    return prepared


def _find_backbone(name: str, dataset: Dataset, options: Options, home: Home) -> PreparedInputs:
    """The inputs with this backbone, which is downloaded if needed.

    Raises:
        UserError: If it cannot be found.
    """
    built_in = name in BUILT_IN
    backbone = P5Stage.of(name, dataset, home, options.p5_epochs).folder if built_in else find_backbone(name, home)
    return PreparedInputs(dataset, backbone)


def unfinished_requests(planned: Iterable[PlannedTrial], found: Found, home: Home) -> set[InputRequest]:
    """The requests with trials that are not finished."""
    return {
        trial.request
        for trial in planned
        if isinstance(prepared := found[trial.request], PreparedInputs)
        and (prepared.lacks_backbone or not prepared.trial(trial, home).spec.is_finished(home))
    }


def check_backbones(found: Found, unfinished: Collection[InputRequest]) -> Found:
    """Read the backbones that trials are to start from: an unreadable one is reported once, not by every trial.

    Args:
        found: The inputs of each request, or why there are none.
        unfinished: The requests with trials that are not finished; reading PyTorch takes seconds, so others are not
            checked.

    Returns:
        `found`, with the failure of each backbone that cannot be read.

    Raises:
        UserError: If no request is left.
    """
    checked = dict(found)
    folders: dict[Path, Failure | None] = {}
    for request, prepared in found.items():
        if request not in unfinished or isinstance(prepared, Failure) or prepared.lacks_backbone:
            continue
        if prepared.backbone not in folders:
            folders[prepared.backbone] = _failure_of_reading(prepared.backbone)
        checked[request] = folders[prepared.backbone] or prepared
    if all(isinstance(prepared, Failure) for prepared in checked.values()):
        raise UserError(next(failure.message for failure in checked.values() if isinstance(failure, Failure)))
    return checked


def _failure_of_reading(backbone: Path) -> Failure | None:
    from vip5core.model import load_backbone  # late, because it imports PyTorch

    try:
        load_backbone(backbone)
    except UserError as error:
        return Failure(kind="unavailable", message=str(error))
    return None


def find_inputs(
    requests: Iterable[InputRequest], options: Options, home: Home
) -> Mapping[InputRequest, PreparedInputs]:
    """The inputs that already exist; nothing is prepared or downloaded."""
    found = {}
    for request in dict.fromkeys(requests):
        build_options = options_of(request.dataset, id_scheme=request.ids)
        folder = dataset_folder(request.dataset, options.source, home, build_options)
        if not folder.is_dir():
            continue
        dataset = open_dataset(folder)
        if request.backbone in BUILT_IN:
            backbone = P5Stage.of(request.backbone, dataset, home, options.p5_epochs).folder
        else:
            backbone = home.downloaded_backbone(request.backbone)
            if Path(request.backbone).expanduser().is_dir():
                backbone = find_backbone(request.backbone, home)
        if backbone.is_dir():
            found[request] = PreparedInputs(dataset, backbone)
    return found
