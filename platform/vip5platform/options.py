"""The options of a study or a search, declared once: defaults, help, and how the command line reads them."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vip5core.errors import UserError
from vip5core.presets import PRESETS, preset
from vip5core.vocabulary import BASELINES, BUILT_IN, ID_SCHEMES, SAMPLERS, TINY, Sampler

#: Options that are no setting of a trial but one of its inputs; a study may vary them like settings.
INPUT_SETTINGS = ("dataset", "ids", "backbone")


def _option(default: Any, text: str, only: str = "", flags: Sequence[str] = (), **argument: Any) -> Any:
    """A field that is an option of the command line.

    Args:
        default: where it is not given.
        text: its help.
        only: `study` or `search`, for an option of one kind alone.
        flags: other names than that of the field.
        argument: more for argparse.
    """
    return dataclasses.field(
        default=default, metadata={"help": text, "only": only, "flags": flags, "argument": argument}
    )


def _comma_list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _levels(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, values = text.partition("=")
    levels = tuple(value.strip() for value in values.split(",") if value.strip())
    if not (name and equals and levels):
        raise UserError(f"--levels {text!r}: must look like FACTOR=A,B, such as reduction_factor=4,8")
    return name, levels


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--set {text!r}: must look like KEY=VALUE, such as reduction_factor=4")
    return key, value


@dataclass(frozen=True)
class Options:
    """What the command line says. The help of each field is its documentation."""

    dataset: str = _option(
        "minimart",
        "minimart (minimart:N for N users), another source by name (vip5 prepare --help lists them), or the folder of "
        "a prepared dataset",
        metavar="NAME",
    )
    ids: str | None = _option(
        None,
        "how items are numbered: at random (the default, except for vip5-release), along the training histories, by "
        "clusters of items bought together, or as the source provides it, which may leak the test items",
        choices=ID_SCHEMES,
    )
    source: Path | None = _option(None, "raw files of the dataset, where it needs some", type=Path, metavar="DIR")
    backbone: str | None = _option(
        None,
        f"a T5: its name on the hub (t5-small, google/flan-t5-base, …), its folder, or built in: {', '.join(BUILT_IN)} "
        f"(default: the preset's, else {TINY})",
        metavar="NAME",
    )
    preset: str | None = _option(
        None,
        "a named set of settings: tiny (the default with a built-in backbone), paper (the paper's choices, t5-small "
        "included) or p5 (text-only full tuning); --set goes before it",
        choices=tuple(PRESETS),
    )
    settings: tuple[tuple[str, str], ...] = _option(
        (), "settings of every trial, listed below", flags=("--set",), metavar="KEY=VALUE", nargs="+"
    )
    seeds: int = _option(
        1, "repeat every trial with N seeds; a conclusion needs 3", only="study", type=int, metavar="N"
    )
    levels: tuple[tuple[str, tuple[str, ...]], ...] = _option(
        (),
        "other levels of a factor: some of the study's own, or new values, such as dataset=data/beauty,data/toys",
        only="study",
        metavar="FACTOR=A,B,…",
    )
    force: bool = _option(False, "train every trial again; earlier results are kept in trials/.replaced/", only="study")
    trials: int = _option(20, "how many distinct trials to make", only="search", type=int, metavar="N")
    sampler: Sampler = _option("tpe", "what proposes them", only="search", choices=SAMPLERS)
    early_stopping: bool = _option(
        True,
        "let unpromising trials run to their end (by default successive halving stops them, if there is one objective)",
        only="search",
        flags=("--no-early-stopping",),
    )
    epochs: int | None = _option(None, "epochs of each trial (default: the preset's)", type=int, metavar="N")
    p5_epochs: int | None = _option(
        None, "epochs of the P5 stage that makes a built-in backbone (default: the p5 preset's)", type=int, metavar="N"
    )
    baselines: tuple[str, ...] = _option(
        tuple(BASELINES),
        f"what the levels are compared with ({','.join(BASELINES)}; '' for nothing)",
        type=_comma_list,
        metavar="A,B,…",
    )
    home: Path = _option(Path("runs"), "the folder that everything is written to", type=Path, metavar="DIR")
    tracking_uri: str | None = _option(None, "MLflow server or database (default: mlflow.db in --home)", metavar="URI")
    address: str | None = _option(
        None, "a Ray cluster to join, auto for this machine's (default: start one)", metavar="HOST:PORT"
    )
    gpus_per_worker: float | None = _option(
        None,
        "share of a GPU for each worker (default: 1 where there are GPUs; needed where an autoscaler is to add them)",
        flags=("--gpus-per-worker", "--gpus-per-trial"),
        type=float,
        metavar="F",
    )
    workers_per_trial: int = _option(1, "data-parallel processes of each trial", type=int, metavar="N")
    dry_run: bool = _option(False, "show the trials, which are finished, and how long the rest may take")

    @property
    def backbone_name(self) -> str:
        """The backbone of trials whose study does not vary it."""
        return self.backbone or self.preset_settings().get("backbone") or TINY

    def preset_settings(self, backbone: str | None = None) -> dict[str, Any]:
        """The settings of the chosen preset; with a built-in backbone and no choice, those of `tiny`."""
        name = self.preset or ("tiny" if backbone in BUILT_IN else None)
        return dict(preset(name)) if name else {}

    def given_settings(self) -> dict[str, Any]:
        """What the user sets for every trial.

        Raises:
            UserError: for what has an option of its own, or is given twice.
        """
        given: dict[str, Any] = dict(self.settings)
        for key, option in (("seed", "--seeds"), *((name, f"--{name}") for name in INPUT_SETTINGS)):
            if key in given:
                raise UserError(f"--set {key}={given[key]}: use {option} instead")
        if self.epochs is not None:
            if "epochs" in given:
                raise UserError(f"--epochs {self.epochs} and --set epochs={given['epochs']}: give one of them")
            given["epochs"] = self.epochs
        return given

    def check(self) -> None:
        """Refuse numbers that are out of bounds.

        Raises:
            UserError: naming the option, its value and the rule.
        """
        for option, value in (("--seeds", self.seeds), ("--p5-epochs", self.p5_epochs), ("--trials", self.trials)):
            if value is not None and value < 1:
                raise UserError(f"{option} {value}: must be at least 1")


def add_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add the options of a `study` or a `search` to its command line."""
    for field in dataclasses.fields(Options):
        if field.metadata["only"] in ("", kind):
            _add(parser, field.name, field.default, field.metadata)


def _add(parser: argparse.ArgumentParser, name: str, default: Any, meta: Any) -> None:
    flags = meta["flags"] or (f"--{name.replace('_', '-')}",)
    argument: dict[str, Any] = dict(meta["argument"])
    text = meta["help"].replace("%", "%%")
    if isinstance(default, bool):
        argument["action"] = "store_false" if default else "store_true"
    elif default == ():  # may be given several times
        argument["action"] = "append"
        default = []
    elif default is not None and "default" not in text and not isinstance(default, tuple):
        text += f" (default: {default})"
    parser.add_argument(*flags, dest=name, default=default, help=text, **argument)


def read_options(given: dict[str, Any]) -> Options:
    """The options that argparse has read, as text where they are lists of pairs.

    Raises:
        UserError: for a setting or levels that do not look like what they should.
    """
    values = dict(given)
    if "settings" in values:
        values["settings"] = tuple(_pair(text) for group in values["settings"] for text in group)
    if "levels" in values:
        values["levels"] = tuple(_levels(text) for text in values["levels"])
    return Options(**values)
