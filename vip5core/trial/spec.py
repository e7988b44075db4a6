"""Which trial to run, and where its inputs are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vip5core.backbones import backbone_fingerprint
from vip5core.config import TrialConfig
from vip5core.data.dataset import open_dataset
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.trial.result import has_result


@dataclass(frozen=True)
class TrialSpec:
    """A trial and the folders of its inputs: all that a worker on another machine needs.

    Attributes:
        config: The settings of the trial.
        dataset: The folder of the dataset.
        backbone: The folder of the backbone.
        features: The folder of the feature store; None for a text-only trial.
        fingerprint: The identity of the trial; see `TrialConfig.fingerprint`.
    """

    config: TrialConfig
    dataset: Path
    backbone: Path
    features: Path | None
    fingerprint: str

    @classmethod
    def of(cls, config: TrialConfig, dataset: Path, backbone: Path, features: Path | None) -> TrialSpec:
        """The spec of `config` on these inputs. Features are ignored if the config is text-only.

        Raises:
            UserError: if features are needed and missing, or an input cannot be read.
        """
        features = features if config.uses_images else None
        if config.uses_images and features is None:
            raise UserError(f"image_tokens={config.image_tokens} needs image features: extract them first")
        identity = config.fingerprint(
            open_dataset(dataset).fingerprint,
            backbone_fingerprint(backbone),
            features.name if features is not None else None,
        )
        return cls(config, dataset, backbone, features, identity)

    def folder(self, home: Home) -> Path:
        """The folder of the finished trial."""
        return home.trial(self.fingerprint)

    def checkpoint(self, home: Home) -> Path:
        """The file in which the running trial keeps its state after each epoch."""
        return home.checkpoint(self.fingerprint)

    def is_finished(self, home: Home) -> bool:
        return has_result(home.fetch(self.folder(home)))

    def fetch_inputs(self, home: Home) -> None:
        """Bring the inputs to this node, where the home is an object store."""
        for folder in filter(None, (self.dataset, self.backbone, self.features)):
            home.fetch(folder)


@dataclass(frozen=True)
class StudyInputs:
    """The inputs that the trials of a study share.

    Attributes:
        home: The home under which everything is written.
        dataset: The folder of the dataset.
        backbone: The folder of the backbone.
        features: The feature store of each choice, by the `encoder`, `encoder_weights` and `item_images` of a config.
    """

    home: Home
    dataset: Path
    backbone: Path
    features: dict[tuple[str, str, str], Path]

    def spec(self, config: TrialConfig) -> TrialSpec:
        """The trial of `config` on these inputs."""
        chosen = (config.encoder, config.encoder_weights, config.item_images)
        return TrialSpec.of(config, self.dataset, self.backbone, self.features.get(chosen))
