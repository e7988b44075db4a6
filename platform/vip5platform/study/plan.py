"""Turns a declaration and command line options into a list of trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vip5core.backbones import short_name, trained_t5
from vip5core.config import TrialConfig
from vip5core.data.feature_choice import FeatureChoice
from vip5core.encoders import EncoderChoice
from vip5core.errors import UserError, unknown_name
from vip5core.id_scheme_names import parse_id_scheme
from vip5core.trial.p5_spec import p5_config
from vip5platform.cluster.arithmetic import check_local_precision
from vip5platform.declarations import Choice, Search, Study
from vip5platform.options import INPUT_SETTINGS, Options


@dataclass(frozen=True)
class InputRequest:
    """The inputs of a trial as the user names them.

    Attributes:
        dataset: The name of a source, or the folder of a prepared dataset.
        ids: The id scheme; None for the default of the source.
        backbone: A name on the hub or a folder, maybe with `p5:` before it, or a built-in backbone.
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
        """The name of the cell: its levels, joined."""
        return ", ".join(self.cell.values())

    @property
    def label(self) -> str:
        """The name of the trial: its cell, and its seed unless it is 0."""
        return self.name + (f", seed {self.config.seed}" if self.config.seed else "")


def plan_trials(study: Study, options: Options) -> list[PlannedTrial]:
    """Plan and check all trials of a study.

    Raises:
        UserError: For an unknown or impossible setting or level, an option for a setting that the study varies, or
            missing encoder weights.
    """
    options.check()
    for name, levels in options.levels:
        study = study.with_levels(name, list(levels))
    given = options.given_settings()
    _check_varied(study.name, study.decided | ({"seed"} & study.varied), given, options)
    planned = []
    for cell in study.cells():
        settings = study.settings_of(cell)
        request = input_request(options, settings)
        common = common_settings(study, options, request.backbone)
        request = _complete_ids(request, common)
        own = {key: value for key, value in settings.items() if key not in INPUT_SETTINGS}
        for seed in range(options.seeds):
            config = make_config({**common, **own, "seed": seed})
            check_local_precision(config.precision, options)
            planned.append(PlannedTrial(cell, request, config))
    _check_p5_stages(dict.fromkeys(trial.request.backbone for trial in planned), options)
    return planned


def _check_p5_stages(backbones: Iterable[str], options: Options) -> None:
    """Refuse impossible settings of P5 stages before anything is prepared.

    Raises:
        UserError: Naming the option, the setting, the rule and the way out.
    """
    given = options.given_p5_settings()
    trained = [t5 for t5 in map(trained_t5, backbones) if t5 is not None]
    if given and not trained:
        option = f"--p5-epochs {options.p5_epochs}" if options.p5_epochs is not None else "--p5-set"
        raise UserError(f"{option}: no backbone of this study has a P5 stage; omit it, or use --backbone p5:NAME")
    for t5 in trained:
        try:
            config = p5_config(**given, backbone=t5)
        except UserError as error:
            raise UserError(f"--p5-set: {error}") from None
        check_local_precision(config.precision, options)


def _check_varied(name: str, varied: Iterable[str], given: Mapping[str, Any], options: Options) -> None:
    """Refuse options for settings that the study varies itself.

    Raises:
        UserError: For such an option, or a setting that a study cannot vary.
    """
    for key in varied:
        if key == "seed":
            raise UserError(f"{name} varies seed: the seed is not a factor; use --seeds")
        if key in given:
            raise UserError(f"{key}={given[key]}: {name} varies {key} itself; omit it, or choose its --levels")
        if key in INPUT_SETTINGS and getattr(options, key) != getattr(Options, key):
            raise UserError(
                f"--{key} {getattr(options, key)}: {name} varies {key} itself; omit it, or choose its --levels"
            )


def input_request(options: Options, settings: Mapping[str, Any]) -> InputRequest:
    """The inputs of a trial with these settings."""
    given = {"dataset": options.dataset, "ids": options.ids, "backbone": options.backbone_name}
    inputs = {key: settings.get(key, given[key]) for key in INPUT_SETTINGS}
    return InputRequest(inputs["dataset"], inputs["ids"], short_name(inputs["backbone"]))


def _complete_ids(request: InputRequest, common: Mapping[str, Any]) -> InputRequest:
    """The request with the encoder of `semantic:image` ids: unless they name one, that of all trials.

    Raises:
        UserError: For an unknown scheme, or an encoder that does not exist.
    """
    if request.ids is None:
        return request
    fields = TrialConfig.model_fields
    encoder, weights = (common.get(key, fields[key].default) for key in ("encoder", "encoder_weights"))
    scheme = parse_id_scheme(request.ids, encoder, weights)
    if scheme.base == "semantic:image":
        EncoderChoice(scheme.encoder, scheme.weights).check()
    return replace(request, ids=str(scheme))


@dataclass(frozen=True)
class SearchPlan:
    """What all trials of a search have in common.

    Attributes:
        request: Their inputs.
        common: Their settings without the searched ones.
        example: The config of one trial.
        features: The features that a trial may need.
    """

    request: InputRequest
    common: Mapping[str, Any]
    example: TrialConfig
    features: Sequence[FeatureChoice]

    def config(self, settings: Mapping[str, Any]) -> TrialConfig:
        """The config of a trial with these searched settings.

        Raises:
            UserError: For an impossible combination.
        """
        return make_config({**self.common, **settings})


def plan_search(search: Search, options: Options) -> SearchPlan:
    """Plan and check a search.

    Raises:
        UserError: For an unknown setting, an option for a searched setting, or missing encoder weights.
    """
    options.check()
    for key in search.space:
        if key in ("seed", *INPUT_SETTINGS) or key not in TrialConfig.model_fields:
            raise unknown_name(
                "searched setting", key, [k for k in TrialConfig.model_fields if k not in INPUT_SETTINGS]
            )
    _check_varied(search.name, search.space, options.given_settings(), options)
    request = input_request(options, {})
    _check_p5_stages([request.backbone], options)
    common = common_settings(search, options, request.backbone)
    request = _complete_ids(request, common)
    tried: dict[str, list[Any]] = {}
    for key, values in search.space.items():
        tried[key] = list(values.values) if isinstance(values, Choice) else [values.low, values.high]
    first = {key: values[0] for key, values in tried.items()}
    # Each value is checked on its own, so that impossible ones are reported before anything is trained.
    configs = [make_config({**common, **first, key: value}) for key, values in tried.items() for value in values]
    for config in configs:
        check_local_precision(config.precision, options)
    with_images = [config for config in configs if config.uses_images]
    encoders = tried.get("encoder", [configs[0].encoder])
    weights = {config.encoder_weights for config in with_images}
    item_images = tried.get("item_images", [configs[0].item_images])
    choices = dict.fromkeys(
        FeatureChoice(EncoderChoice(e, w), which) for e in encoders for w in sorted(weights) for which in item_images
    )
    return SearchPlan(request, common, configs[0], list(choices))


def common_settings(declared: Study | Search, options: Options, backbone: str) -> dict[str, Any]:
    """The settings of all trials: the preset, overridden by the study, overridden by the user."""
    return {**options.preset_settings(backbone), **declared.settings, **options.given_settings(), "backbone": backbone}


def make_config(settings: dict[str, Any]) -> TrialConfig:
    """The config of a trial, with its encoder checked.

    Raises:
        UserError: For an unknown or impossible setting, or an encoder that does not exist.
    """
    config = TrialConfig.from_settings(settings)
    if config.uses_images:
        EncoderChoice(config.encoder, config.encoder_weights).check()
    return config


def feature_choices(configs: Iterable[TrialConfig]) -> list[FeatureChoice]:
    """The features that these trials need, without duplicates."""
    return list(dict.fromkeys(FeatureChoice.of(config) for config in configs if config.uses_images))
