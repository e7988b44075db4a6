"""The command line of studies and searches: options explained, presets that do what they say, mistakes in a line."""

from __future__ import annotations

import dataclasses
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from vip5platform import Search, Study, factor, main
from vip5platform.cli.sweep import parser
from vip5platform.declarations import Range
from vip5platform.options import Options, read_options
from vip5platform.study.plan import common_settings, plan_search, plan_trials

from vip5core.config import TrialConfig
from vip5core.errors import UserError
from vip5core.presets import PAPER, PRESETS

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.py"))
STUDY = Study("s", "Which?", (factor("reduction_factor", 2, 4),))
SEARCH = Search("s", "Which?", {"dropout": Range(0.0, 0.5)})


def read(declared: Study | Search, *arguments: str) -> Options:
    """The options that a command line stands for."""
    return read_options(vars(parser(declared).parse_args(arguments)))


def declaration(path: Path) -> Study | Search:
    names = runpy.run_path(str(path))
    found: Study | Search = names.get("STUDY") or names["SEARCH"]
    return found


def helped(text: str) -> str:
    """Help without its line breaks."""
    return " ".join(text.split())


# what is explained


@pytest.mark.parametrize("field", dataclasses.fields(Options), ids=lambda field: field.name)
def test_every_option_is_explained_where_it_can_be_given(field):
    text, only = field.metadata["help"], field.metadata["only"]
    assert len(text) > 10
    for kind, declared in (("study", STUDY), ("search", SEARCH)):
        assert (helped(text)[:40] in helped(parser(declared).format_help())) == (only in ("", kind))


def test_without_arguments_the_options_are_their_defaults():
    assert read(STUDY) == Options()
    assert read(SEARCH) == Options()


@pytest.mark.parametrize("declared", [STUDY, SEARCH], ids=["study", "search"])
def test_the_help_lists_every_setting_of_a_trial_with_its_default(declared):
    text = parser(declared).format_help()
    for name in TrialConfig.model_fields:
        if name not in ("seed", "backbone"):  # which have options of their own
            assert re.search(rf"^ +{name}=\S", text, re.MULTILINE), name
    assert f"reduction_factor={TrialConfig().reduction_factor}" in text


def test_the_help_and_the_parser_need_no_heavy_library():
    script = (
        "import runpy, sys\n"
        "try: runpy.run_path(sys.argv[1], run_name='__main__')\n"
        "except SystemExit as left: assert not left.code\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    for sweep in ("encoder_ablation", "joint_search"):
        path = next(path for path in SWEEPS if path.stem == sweep)
        done = subprocess.run(
            [sys.executable, "-c", script, str(path), "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "settings of a trial" in done.stdout


# what is read


@pytest.mark.parametrize("flag", ["--gpus-per-worker", "--gpus-per-trial"])
def test_gpus_go_by_worker_and_by_their_former_name(flag):
    assert read(STUDY, flag, "0.25") == read(STUDY, "--gpus-per-worker", "0.25") == Options(gpus_per_worker=0.25)


def test_settings_and_levels_may_be_given_several_times():
    options = read(
        STUDY, "--set", "dropout=0", "epochs=3", "--set", "clip=1", "--levels", "a=1, 2", "--levels", "b=x=y"
    )
    assert options.settings == (("dropout", "0"), ("epochs", "3"), ("clip", "1"))
    assert options.levels == (("a", ("1", "2")), ("b", ("x=y",)))


def test_settings_of_the_p5_stage_are_given_beside_its_epochs():
    options = read(STUDY, "--p5-set", "item_start=random", "max_samples=50000", "--p5-set", "dropout=0")
    assert options.given_p5_settings() == {"item_start": "random", "max_samples": "50000", "dropout": "0"}
    assert read(STUDY, "--p5-epochs", "8").given_p5_settings() == {"epochs": 8}


def test_no_baseline_is_a_choice():
    assert read(STUDY, "--baselines", "").baselines == ()
    assert read(STUDY, "--baselines", "random,popularity").baselines == ("random", "popularity")


# presets


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_papers_preset_is_what_every_sweep_then_has_but_for_what_it_varies(path):
    declared = declaration(path)
    own = declared.varied if isinstance(declared, Study) else frozenset(declared.space)
    given = {"encoder_weights": "tiny"}  # those of the paper are a download
    arguments = ["--preset", "paper", "--set", "encoder_weights=tiny"]
    if "backbone" not in own:
        given["backbone"] = "tiny"
        arguments += ["--backbone", "tiny"]
    options = read(declared, *arguments)
    if isinstance(declared, Study):
        configs = [trial.config for trial in plan_trials(declared, options)]
    else:
        configs = [plan_search(declared, options).example]
    expected = TrialConfig.from_settings({**PAPER, **declared.settings, **given})
    for config in configs:
        for name in TrialConfig.model_fields:
            if name not in own:
                assert getattr(config, name) == getattr(expected, name), name


def test_the_papers_preset_brings_its_backbone():
    options = read(STUDY, "--preset", "paper")
    assert options.backbone_name == "t5-small"
    assert common_settings(STUDY, options, options.backbone_name) == PAPER
    assert Options().backbone_name == "tiny"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_changed_by_the_study_and_both_by_the_user(name):
    study = Study("s", "Which?", STUDY.factors, {"epochs": 11, "dropout": 0.3})
    arguments = ("--preset", name, "--backbone", "tiny", "--set", "encoder_weights=tiny", "dropout=0.2")
    config = plan_trials(study, read(study, *arguments))[0].config
    assert (config.epochs, config.dropout) == (11, 0.2)
    assert config.batch_size == PRESETS[name]["batch_size"]


# mistakes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "reduction_factor"], "--set 'reduction_factor': must look like KEY=VALUE"),
        (["--set", "=4"], "--set '=4': must look like KEY=VALUE"),
        (["--set", "dropout=0", "epochs"], "--set 'epochs': must look like"),
        (["--p5-set", "epochs"], "--p5-set 'epochs': must look like KEY=VALUE, such as max_samples=50000"),
        (["--p5-set", "item_strat=random"], "did you mean 'item_start'"),
        (["--levels", "reduction_factor"], "--levels 'reduction_factor': must look like FACTOR=A,B"),
        (["--levels", "reduction_factor="], "must look like FACTOR=A,B"),
        (["--levels", "=2,4"], "must look like FACTOR=A,B"),
        (["--levels", "reduction_factor=, ,"], "must look like FACTOR=A,B"),
        (["--set", "dropuot=0"], "did you mean 'dropout'"),
        (["--set", "dropout=much"], "dropout='much'"),
        (["--set", "epochs=3", "--epochs", "4"], "give only one of them"),
        (["--levels", "reduction=2"], "unknown factor 'reduction'"),
        (["--baselines", "populrity"], "did you mean 'popularity'"),
        (["--seeds", "0"], "--seeds 0: must be at least 1"),
        (["--system-metrics", "--address", "auto"], "--system-metrics with --address auto: it measures the driver's"),
        (["--workers-per-trial", "0"], "--workers-per-trial 0: must be at least 1"),
        (["--gpus-per-worker", "-1", "--dry-run"], "--gpus-per-worker -1: must be from 0 to 1"),
        (["--gpus-per-worker", "1.5", "--dry-run"], "--gpus-per-worker 1.5: must be from 0 to 1"),
        (["--gpus-per-worker", "nan"], "--gpus-per-worker nan: must be from 0 to 1"),
        (["--gpus-per-worker", "0.5", "--workers-per-trial", "4000", "--dry-run"], "with 4000 workers per trial"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments, says, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(STUDY, [*arguments, "--home", str(tmp_path / "home")])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["trials", "sampler"])
def test_options_of_searches_are_none_of_studies(name, capsys):
    with pytest.raises(SystemExit):
        read(STUDY, f"--{name}", "3")
    assert "unrecognized arguments" in capsys.readouterr().err


def test_a_wrong_option_in_code_is_refused_as_on_the_command_line():
    with pytest.raises(UserError, match="--p5-epochs 0: must be at least 1"):
        plan_trials(STUDY, Options(p5_epochs=0))
