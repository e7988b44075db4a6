"""Which backbone the P5 stage trains, and where it is kept; `vip5core.trial.p5_stage` trains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vip5core.backbones import P5_RECORD, backbone_fingerprint, find_backbone, trained_t5
from vip5core.config import ImageOptions, P5Config, as_text
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.fingerprint import code_version, fingerprint
from vip5core.home import Home
from vip5core.presets import P5, P5_PRETRAINED
from vip5core.vocabulary import BUILT_IN

#: What a stage is, whatever its settings.
_FIXED = {"image_tokens": 0, "tuning": "full"}

#: Settings that change nothing where everything is tuned on text alone, and nothing is tested.
_WITHOUT_EFFECT = frozenset(
    {
        *ImageOptions.model_fields,
        "image_start",
        "mapping_norm",
        "reduction_factor",
        "adapter_positions",
        "adapter_sharing",
        "adapter_start",
        "extra_embeddings",
        "lora_rank",
        "test_users",
        "probe",
    }
)
_NO_CHANGES: Mapping[str, Any] = MappingProxyType({})


def p5_config(**changes: Any) -> P5Config:
    """The config of the stage, with `changes`, given as text or as themselves; `backbone` is the T5 that it trains.

    Raises:
        UserError: for a setting that is unknown or impossible, or that no P5 stage can have.
    """
    for key, value in changes.items():
        if key in _FIXED and str(value) != str(_FIXED[key]):
            raise UserError(
                f"{key}={as_text(value)}: a P5 stage trains the whole T5 on text alone, which is {key}={_FIXED[key]}; "
                "omit it, or set it for the trials"
            )
        if key in _WITHOUT_EFFECT:
            raise UserError(
                f"{key}={as_text(value)}: has no effect on a P5 stage, which trains the whole T5 on text alone; "
                "omit it, or set it for the trials"
            )
    built_in = changes.get("backbone", P5["backbone"]) in BUILT_IN
    config = P5Config.from_settings({**P5, **({} if built_in else P5_PRETRAINED), **changes})
    if not built_in and config.item_start != P5_PRETRAINED["item_start"]:
        raise UserError(
            f"item_start={config.item_start}: {config.backbone!r} is pretrained and its numbers have embeddings; "
            f"omit it, or use a built-in backbone: {', '.join(BUILT_IN)}"
        )
    return config


def p5_fingerprint(dataset: Dataset, config: P5Config, start: Path | None = None) -> str:
    """The identity of the backbone that the stage produces.

    Args:
        dataset: The dataset whose prompts it is trained on.
        config: The settings of the stage.
        start: The folder of the T5 that it starts from, of which the content counts; None for a built-in one.
    """
    settings = config.model_dump(mode="json")
    if start is not None:
        settings["backbone"] = backbone_fingerprint(start)
    return fingerprint("p5", settings, dataset.fingerprint, code_version())


@dataclass(frozen=True)
class P5Stage:
    """The training of one backbone on one dataset.

    Attributes:
        dataset: The dataset whose prompts it is trained on.
        config: The settings of the training; those of its preset, and the name of the T5.
        folder: The folder of the backbone, which appears when it is complete.
        start: The folder of the pretrained T5 that it starts from; None for a built-in one, which starts afresh.
    """

    dataset: Dataset
    config: P5Config
    folder: Path
    start: Path | None = None

    @classmethod
    def of(cls, name: str, dataset: Dataset, home: Home, settings: Mapping[str, Any] = _NO_CHANGES) -> P5Stage:
        """The stage of the backbone `name`.

        Args:
            name: A built-in name, or `p5:` and the name of a T5 on the hub, which is downloaded, or its folder.
            dataset: The dataset.
            home: The home whose `backbones/` gets the folder.
            settings: The settings in which it differs from its preset.

        Raises:
            UserError: if there is no such T5, or for an impossible setting.
        """
        t5 = trained_t5(name)
        assert t5 is not None, f"{name} is frozen as it is"
        config = p5_config(**settings, backbone=t5)
        start = None if t5 in BUILT_IN else find_backbone(name, home)
        folder = f"{t5 if start is None else start.name}-{p5_fingerprint(dataset, config, start)}"
        return cls(dataset, config, home.backbones / folder, start)

    @property
    def name(self) -> str:
        """The name of its folder, which ends with the identity of the backbone."""
        return self.folder.name

    @property
    def is_finished(self) -> bool:
        return (self.folder / P5_RECORD).is_file()

    @property
    def checkpoint(self) -> Path:
        """The file in which a running stage keeps its state after each epoch."""
        return self.folder.with_name(f"{self.name}.running.pt")

    @property
    def label(self) -> str:
        """The backbone, the dataset and its ids, in words."""
        return f"P5 stage of {self.config.backbone} on {self.dataset.name}, {self.dataset.manifest.id_scheme} ids"
