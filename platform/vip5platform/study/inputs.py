"""The inputs of trials: datasets, backbones, and the folders of image features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from vip5core.backbones import backbone_fingerprint, find_backbone, find_local_backbone, trained_t5
from vip5core.config import TrialConfig
from vip5core.data.build import BuildOptions
from vip5core.data.dataset import MANIFEST, Dataset, open_dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.data.sources import dataset_folder, options_of, prepare
from vip5core.errors import Failure, UserError
from vip5core.home import Home
from vip5core.progress import Progress
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.spec import StudyInputs, TrialSpec
from vip5core.vocabulary import BUILT_IN
from vip5platform.cluster.feature_stores import store_folder
from vip5platform.options import Options
from vip5platform.study.plan import InputRequest, PlannedTrial, feature_choices

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
    """Inputs that are available, but for a backbone that still has to be trained.

    Attributes:
        dataset: The opened dataset.
        backbone: The folder of the backbone.
        stage: The P5 stage that trains the backbone; None for one that is frozen as it is.
    """

    dataset: Dataset
    backbone: Path
    stage: P5Stage | None = None

    @property
    def lacks_backbone(self) -> bool:
        """Does the backbone still have to be trained?"""
        return not self.backbone.is_dir()

    def adopted(self, home: Home) -> PreparedInputs:
        """The same with a backbone that all nodes find."""
        if self.stage is not None:
            return self
        return replace(self, backbone=home.adopt(self.backbone, home.backbones, backbone_fingerprint(self.backbone)))

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
        chosen = (config.encoder, config.encoder_weights, config.item_images)
        stores = [(chosen, store_folder(self.dataset, choice, home)) for choice in feature_choices([config])]
        return StudyInputs(home, self.dataset.folder, self.backbone, dict(stores)).spec(config)

    def lacks_images(self, config: TrialConfig) -> bool:
        """Does the config need images although the dataset has none?"""
        return not self.dataset.has_images and any(choice.encoder.needs_images for choice in feature_choices([config]))


#: The inputs of each request, or why there are none.
Found = Mapping[InputRequest, PreparedInputs | Failure]


def join_features(
    features: Mapping[InputRequest, Sequence[FeatureChoice]], inputs: Mapping[InputRequest, PreparedInputs]
) -> list[tuple[Dataset, list[FeatureChoice]]]:
    """The features of each dataset from those of each request, so that each image is decoded once for all."""
    datasets: dict[Path, Dataset] = {}
    choices: dict[Path, dict[FeatureChoice, None]] = {}
    for request, of_request in features.items():
        dataset = inputs[request].dataset
        datasets[dataset.folder] = dataset
        choices.setdefault(dataset.folder, {}).update(dict.fromkeys(of_request))
    return [(datasets[folder], list(of_dataset)) for folder, of_dataset in choices.items()]


def without_effect(choice: FeatureChoice, dataset: Dataset) -> str | None:
    """Why `item_images` makes no difference to the features of a dataset; None if it does, or is `first`."""
    if choice.on(dataset) == choice:
        return None
    setting = f"item_images={choice.item_images} is the same as first for {choice.encoder.name} on {dataset.name}"
    if not choice.encoder.needs_images:
        return f"{setting}: its features are given"
    return f"{setting}: no item has several pictures (vip5 images --per-item N downloads them)"


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
    """Refuse options of preparation with an already prepared dataset.

    Raises:
        UserError: Naming the option and the dataset.
    """
    for dataset in datasets:
        for name in ("ids", "ties", "split", "source"):
            if (given := getattr(options, name)) and (Path(dataset) / MANIFEST).is_file():
                value = repr(str(given)) if name == "source" else given
                raise UserError(
                    f"--{name} {value}: {dataset!r} is already prepared; omit the option, or prepare the dataset again "
                    "with it"
                )


def build_options(dataset: str, ids: str | None, options: Options) -> BuildOptions:
    """How a dataset is prepared for a study or search: as given, and else as is usual for its source."""
    return options_of(dataset, id_scheme=ids, ties=options.ties, split=options.split)


def prepare_inputs(
    requests: Iterable[InputRequest], options: Options, home: Home, stage: Stage
) -> dict[InputRequest, PreparedInputs | Failure]:
    """Prepare all missing datasets, and find or download the T5s that are not built in, each once.

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
                    chosen = build_options(request.dataset, request.ids, options)
                    given = open_dataset(prepare(request.dataset, options.source, home, chosen))
                    datasets[key] = open_dataset(home.adopt(given.folder, home.datasets, given.fingerprint))
            with stage("backbone"):
                prepared[request] = _find_backbone(request.backbone, datasets[key], options, home).adopted(home)
        except UserError as error:
            errors.append(error)
            prepared[request] = Failure(kind="unavailable", message=str(error))
    if len(errors) == len(prepared):
        raise errors[0]
    return prepared


def _find_backbone(name: str, dataset: Dataset, options: Options, home: Home) -> PreparedInputs:
    """The inputs with this backbone, whose T5 is downloaded if needed.

    Raises:
        UserError: If it cannot be found.
    """
    if trained_t5(name) is None:
        return PreparedInputs(dataset, find_backbone(name, home))
    stage = P5Stage.of(name, dataset, home, options.given_p5_settings())
    return PreparedInputs(dataset, home.fetch(stage.folder), stage)


def unfinished_requests(planned: Iterable[PlannedTrial], found: Found, home: Home) -> set[InputRequest]:
    """The requests with trials that are not finished."""
    return {
        trial.request
        for trial in planned
        if isinstance(prepared := found[trial.request], PreparedInputs)
        and (prepared.lacks_backbone or not prepared.trial(trial, home).spec.is_finished(home))
    }


def check_backbones(found: Found, unfinished: Collection[InputRequest]) -> Found:
    """Read the backbones that trials or P5 stages are to start from: an unreadable one is reported once.

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
        if request not in unfinished or isinstance(prepared, Failure):
            continue
        read = prepared.stage.start if prepared.lacks_backbone and prepared.stage is not None else prepared.backbone
        if read is None:  # a built-in one starts afresh
            continue
        if read not in folders:
            folders[read] = _failure_of_reading(read)
        checked[request] = folders[read] or prepared
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
    """The inputs that exist but for backbones that their P5 stages still have to train; nothing is downloaded."""
    found = {}
    for request in dict.fromkeys(requests):
        chosen = build_options(request.dataset, request.ids, options)
        folder = dataset_folder(request.dataset, options.source, home, chosen)
        if not home.fetch(folder).is_dir():
            continue
        dataset = open_dataset(folder)
        if trained_t5(request.backbone) in BUILT_IN or find_local_backbone(request.backbone, home) is not None:
            found[request] = _find_backbone(request.backbone, dataset, options, home)
    return found
