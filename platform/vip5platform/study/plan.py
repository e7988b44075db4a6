"""From a declaration and a command line to the list of trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vip5core.config import TrialConfig
from vip5core.encoders import EncoderChoice
from vip5core.errors import UserError, unknown_name
from vip5platform.declarations import Choice, Search, Study
from vip5platform.options import INPUT_SETTINGS, Options


@dataclass(frozen=True)
class InputRequest:
    """The inputs of a trial, as the user names them.

    Attributes:
        dataset: a source's name or a prepared folder.
        ids: the id scheme; None: the source's own.
        backbone: of the hub, a folder, or built in.
    """

    dataset: str
    ids: str | None
    backbone: str


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a study: a cell and a seed."""

    cell: Mapping[str, str]
    request: InputRequest
    config: TrialConfig

    @property
    def name(self) -> str:
        """The cell's: its levels, joined."""
        return ", ".join(self.cell.values())

    @property
    def label(self) -> str:
        return self.name + (f", seed {self.config.seed}" if self.config.seed else "")


def plan_trials(study: Study, options: Options) -> list[PlannedTrial]:
    """Every trial of `study`, checked.

    Raises:
        UserError: for an unknown or impossible setting or level, one that the study varies, or weights that are not
            there.
    """
    options.check()
    for name, levels in options.levels:
        study = study.with_levels(name, list(levels))
    given = options.given_settings()
    _check_varied(study.name, study.varied, given, options)
    planned = []
    for cell in study.cells():
        settings = study.settings_of(cell)
        request = input_request(options, settings)
        common = common_settings(study, options, request.backbone)
        own = {key: value for key, value in settings.items() if key not in INPUT_SETTINGS}
        for seed in range(options.seeds):
            config = checked_config({**common, **own, "seed": seed})
            planned.append(PlannedTrial(cell, request, config))
    return planned


def _check_varied(name: str, varied: Iterable[str], given: Mapping[str, Any], options: Options) -> None:
    """Raises: UserError for a setting that the study varies itself, or cannot vary."""
    for key in varied:
        if key == "seed":
            raise UserError(f"{name} varies seed: that is the command line's (--seeds), not a factor")
        if key in given:
            raise UserError(f"{key}={given[key]}: {name} varies {key} itself; leave it out, or choose its --levels")
        if key in INPUT_SETTINGS and getattr(options, key) != getattr(Options, key):
            raise UserError(
                f"--{key} {getattr(options, key)}: {name} varies {key} itself; leave it out, or choose its --levels"
            )


def input_request(options: Options, settings: Mapping[str, Any]) -> InputRequest:
    """The inputs of a trial with these settings."""
    given = {"dataset": options.dataset, "ids": options.ids, "backbone": options.backbone_name}
    return InputRequest(**{key: settings.get(key, given[key]) for key in INPUT_SETTINGS})


@dataclass(frozen=True)
class SearchPlan:
    """What the trials of a search have in common.

    Attributes:
        request: their inputs.
        common: their settings but for the searched ones.
        example: one of them.
        encoders: whose features any of them may need.
    """

    request: InputRequest
    common: Mapping[str, Any]
    example: TrialConfig
    encoders: Sequence[EncoderChoice]

    def config(self, settings: Mapping[str, Any]) -> TrialConfig:
        """The trial with these searched settings. Raises: UserError for an impossible combination."""
        return checked_config({**self.common, **settings})


def plan_search(search: Search, options: Options) -> SearchPlan:
    """What a search needs to begin, checked.

    Raises:
        UserError: for an unknown setting, one that is searched and given, or weights that are not there.
    """
    options.check()
    for key in search.space:
        if key in ("seed", *INPUT_SETTINGS) or key not in TrialConfig.model_fields:
            raise unknown_name(
                "searched setting", key, [k for k in TrialConfig.model_fields if k not in INPUT_SETTINGS]
            )
    _check_varied(search.name, search.space, options.given_settings(), options)
    request = input_request(options, {})
    common = common_settings(search, options, request.backbone)
    tried: dict[str, list[Any]] = {}
    for key, values in search.space.items():
        tried[key] = list(values.values) if isinstance(values, Choice) else [values.low, values.high]
    first = {key: values[0] for key, values in tried.items()}
    # Every value by itself: what is impossible is said before anything is trained.
    configs = [checked_config({**common, **first, key: value}) for key, values in tried.items() for value in values]
    with_images = [config for config in configs if config.uses_images]
    encoders = tried.get("encoder", [configs[0].encoder])
    weights = {config.encoder_weights for config in with_images}
    return SearchPlan(request, common, configs[0], [EncoderChoice(e, w) for e in encoders for w in sorted(weights)])


def common_settings(declared: Study | Search, options: Options, backbone: str) -> dict[str, Any]:
    """The settings of every trial: the preset's, changed by the study's, changed by the user's."""
    return {**options.preset_settings(backbone), **declared.settings, **options.given_settings(), "backbone": backbone}


def checked_config(settings: dict[str, Any]) -> TrialConfig:
    """The config of a trial whose encoder weights are there. Raises: UserError."""
    config = TrialConfig.from_settings(settings)
    if config.uses_images:
        EncoderChoice(config.encoder, config.encoder_weights).weights_file()
    return config


def encoders_of(configs: Iterable[TrialConfig]) -> list[EncoderChoice]:
    """The encoders whose features these trials need, each once."""
    choices = [EncoderChoice(config.encoder, config.encoder_weights) for config in configs if config.uses_images]
    return list(dict.fromkeys(choices))
