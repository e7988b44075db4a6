"""The command line options of studies and searches, each declared once with its default and help."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vip5core.backbones import short_name
from vip5core.errors import UserError
from vip5core.presets import PRESETS, preset
from vip5core.vocabulary import BASELINES, BUILT_IN, SAMPLERS, SPLIT_SCHEMES, TIES, TINY, Sampler

#: Options that select inputs of a trial rather than settings; a study may vary them like settings.
INPUT_SETTINGS = ("dataset", "ids", "backbone")


def _option(default: Any, text: str, only: str = "", flags: Sequence[str] = (), **argument: Any) -> Any:
    """A field that is a command line option.

    Args:
        default: The default value.
        text: The help text.
        only: `study` or `search` for an option that only one of them has.
        flags: The names of the option, if not that of the field.
        argument: Further arguments of `add_argument`.
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


def _pairs(option: str, groups: Iterable[Iterable[str]], example: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for text in itertools.chain.from_iterable(groups):
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"{option} {text!r}: must look like KEY=VALUE, such as {example}")
        pairs.append((key, value))
    return tuple(pairs)


@dataclass(frozen=True)
class Options:
    """The command line options; the help text of each field documents it."""

    dataset: str = _option(
        "minimart",
        "minimart (minimart:N for N users), the name of another source (vip5 prepare --help lists them), or the folder "
        "of a prepared dataset",
        metavar="NAME",
    )
    ids: str | None = _option(
        None,
        "item id scheme: numbers that are random (the default, except for vip5-release), sequential along the training "
        "histories, collaborative by clusters of items bought together, or provided by the source, which may leak the "
        "test items; or tokens: independent (one for each item), collaborative+independent, semantic:text or "
        "semantic:image by content, of which @ENCODER may follow",
        metavar="SCHEME",
    )
    ties: str | None = _option(
        None,
        "order of a user's interactions at the same time: shuffle (the default, seeded) or that of the file",
        choices=TIES,
    )
    split: str | None = _option(
        None,
        "what is held out: leave-one-out (the default; the last two interactions of each user) or time (all after two "
        "points in time)",
        choices=SPLIT_SCHEMES,
    )
    source: Path | None = _option(
        None, "folder with the raw files of the dataset, if it needs any", type=Path, metavar="DIR"
    )
    backbone: str | None = _option(
        None,
        f"T5 backbone: a name on the Hugging Face hub (t5-small, google/flan-t5-base, …), a folder or a checkpoint of "
        f"P5 or VIP5 (FILE.pth), frozen as it is; "
        f"with p5: before it, trained on the text-only prompts of the dataset first; built in, and always trained "
        f"first: {', '.join(BUILT_IN)}; default: that of the preset, or {TINY}",
        metavar="NAME",
    )
    preset: str | None = _option(
        None,
        "named set of settings: tiny (the default with a built-in backbone), paper (as in the paper, with t5-small) or "
        "p5 (text-only, full tuning); --set overrides it",
        choices=tuple(PRESETS),
    )
    settings: tuple[tuple[str, str], ...] = _option(
        (), "settings of all trials; see the list below", flags=("--set",), metavar="KEY=VALUE", nargs="+"
    )
    seeds: int = _option(
        1, "run every trial with N seeds; conclusions need at least 3", only="study", type=int, metavar="N"
    )
    levels: tuple[tuple[str, tuple[str, ...]], ...] = _option(
        (),
        "levels of a factor instead of the declared ones, which may be new values: dataset=data/beauty,data/toys",
        only="study",
        metavar="FACTOR=A,B,…",
    )
    force: bool = _option(False, "train all trials again; earlier results are moved to trials/.replaced/", only="study")
    trials: int = _option(20, "budget: number of distinct trials", only="search", type=int, metavar="N")
    sampler: Sampler = _option("tpe", "how trials are proposed", only="search", choices=SAMPLERS)
    early_stopping: bool = _option(
        True,
        "do not stop unpromising trials early (by default, successive halving does with a single objective)",
        only="search",
        flags=("--no-early-stopping",),
    )
    epochs: int | None = _option(None, "epochs of each trial (default: those of the preset)", type=int, metavar="N")
    p5_epochs: int | None = _option(
        None,
        "epochs of the P5 stage, which trains a backbone before the trials (default: those of the p5 preset)",
        type=int,
        metavar="N",
    )
    p5_settings: tuple[tuple[str, str], ...] = _option(
        (),
        "settings of the P5 stage; those of a trial that matter for it, and its own at the end of the list below",
        flags=("--p5-set",),
        metavar="KEY=VALUE",
        nargs="+",
    )
    baselines: tuple[str, ...] = _option(
        tuple(BASELINES),
        f"baselines to compare with (default: {','.join(BASELINES)}; '' for none)",
        type=_comma_list,
        metavar="A,B,…",
    )
    home: Path | str = _option(
        Path("runs"),
        "folder that everything is written to, or an object store: s3://bucket/folder, gs://bucket/folder, …",
        metavar="DIR",
    )
    tracking_uri: str | None = _option(None, "MLflow server or database (default: mlflow.db in --home)", metavar="URI")
    system_metrics: bool = _option(
        False,
        "log the use of this machine in the MLflow run of each trial every 10 s: CPUs, memory, disk, network, and "
        "GPUs if nvidia-ml-py is installed",
    )
    address: str | None = _option(
        None, "Ray cluster to join; auto for the one on this machine (default: start one)", metavar="HOST:PORT"
    )
    gpus_per_worker: float | None = _option(
        None,
        "share of a GPU for each worker, at most 1 (default: 1 if there are GPUs, or an autoscaler can add them)",
        flags=("--gpus-per-worker", "--gpus-per-trial"),
        type=float,
        metavar="F",
    )
    workers_per_trial: int = _option(1, "data-parallel processes of each trial", type=int, metavar="N")
    dry_run: bool = _option(
        False, "list the trials, which of them are finished, and an estimate for the rest, without running anything"
    )
    quiet: bool = _option(False, "print warnings and results only, no progress")

    @property
    def backbone_name(self) -> str:
        """The backbone of trials whose study does not vary it."""
        return short_name(self.backbone or self.preset_settings().get("backbone") or TINY)

    def preset_settings(self, backbone: str | None = None) -> dict[str, Any]:
        """The settings of the chosen preset; without one, those of `tiny` for a built-in backbone."""
        name = self.preset or ("tiny" if backbone in BUILT_IN else None)
        return dict(preset(name)) if name else {}

    def given_settings(self) -> dict[str, Any]:
        """The settings that the user gave for all trials.

        Raises:
            UserError: For a setting that has its own option, or is given twice.
        """
        given: dict[str, Any] = dict(self.settings)
        for key, option in (("seed", "--seeds"), *((name, f"--{name}") for name in INPUT_SETTINGS)):
            if key in given:
                raise UserError(f"--set {key}={given[key]}: use {option} instead")
        if self.epochs is not None:
            if "epochs" in given:
                raise UserError(f"--epochs {self.epochs} and --set epochs={given['epochs']}: give only one of them")
            given["epochs"] = self.epochs
        return given

    def given_p5_settings(self) -> dict[str, Any]:
        """The settings that the user gave for the P5 stage.

        Raises:
            UserError: For a setting that has its own option, or is given twice.
        """
        given: dict[str, Any] = dict(self.p5_settings)
        if "backbone" in given:
            raise UserError(f"--p5-set backbone={given['backbone']}: use --backbone p5:{given['backbone']} instead")
        if self.p5_epochs is not None:
            if "epochs" in given:
                raise UserError(
                    f"--p5-epochs {self.p5_epochs} and --p5-set epochs={given['epochs']}: give only one of them"
                )
            given["epochs"] = self.p5_epochs
        return given

    def check(self) -> None:
        """Refuse numbers out of bounds, and options that exclude each other.

        Raises:
            UserError: Naming the option, its value and the rule.
        """
        counts = {
            "--seeds": self.seeds,
            "--p5-epochs": self.p5_epochs,
            "--trials": self.trials,
            "--workers-per-trial": self.workers_per_trial,
        }
        for option, value in counts.items():
            if value is not None and value < 1:
                raise UserError(f"{option} {value}: must be at least 1")
        gpus = self.gpus_per_worker
        if gpus is not None and not 0 <= gpus <= 1:
            raise UserError(
                f"--gpus-per-worker {gpus:g}: must be from 0 to 1, because a worker computes on one GPU; "
                "--workers-per-trial puts a trial on several"
            )
        if self.system_metrics and self.address is not None:
            raise UserError(
                f"--system-metrics with --address {self.address}: it measures the driver's machine, and trials of a "
                "cluster run on others; leave one of them out"
            )


def add_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """Add the options of a `study` or a `search` to a parser."""
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
    """The options from the values that argparse has parsed.

    Raises:
        UserError: For malformed settings or levels.
    """
    values = dict(given)
    if "settings" in values:
        values["settings"] = _pairs("--set", values["settings"], "reduction_factor=4")
    if "p5_settings" in values:
        values["p5_settings"] = _pairs("--p5-set", values["p5_settings"], "max_samples=50000")
    if "levels" in values:
        values["levels"] = tuple(_levels(text) for text in values["levels"])
    return Options(**values)
