"""The settings of a trial: what they refuse, what they identify, and that names and tables agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

import vip5core
from vip5core.baselines.simple import SIMPLE_BASELINES
from vip5core.config import P5Config, TrialConfig
from vip5core.data import ids
from vip5core.errors import UserError
from vip5core.model import LENGTH_POWERS, POSITIONS, TUNING_METHODS
from vip5core.presets import PRESETS, preset
from vip5core.prompts import WINDOWS
from vip5core.setting_docs import setting_descriptions
from vip5core.templates import default_templates
from vip5core.vocabulary import (
    ADAPTER_POSITIONS,
    BASELINES,
    BUILT_IN,
    ENCODERS,
    ID_SCHEMES,
    PROVIDED,
    RANKING_TASKS,
    TASKS,
    Tuning,
)

# For every field another valid value.
OTHERS: dict[str, Any] = {
    "tasks": ("sequential", "direct"),
    "seed": 1,
    "encoder": "RN50",
    "encoder_weights": "tiny",
    "image_tokens": 3,
    "mapping_norm": False,
    "feature_scaling": "raw",
    "item_images": "mean",
    "images": "shuffled",
    "backbone": "tiny",
    "tuning": "lora",
    "reduction_factor": 4,
    "adapter_positions": ("self",),
    "adapter_sharing": "per_task",
    "adapter_start": "paper",
    "image_start": "placeholder",
    "extra_embeddings": "trained",
    "lora_rank": 4,
    "dropout": 0.2,
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 1e-4,
    "warmup": 0.2,
    "weight_decay": 0.1,
    "decay_norms": False,
    "clip": 1.0,
    "embedding_rate": 2.0,
    "adam_epsilon": 1e-6,
    "loss": "paper",
    "label_smoothing": 0.1,
    "samples_per_user": (5, 5, 5, 4),
    "train_candidates": 10,
    "history_window": "paper",
    "max_history": 10,
    "max_source_tokens": 512,
    "max_target_tokens": 32,
    "precision": "bfloat16",
    "protocol": "exact",
    "num_beams": 10,
    "exclude_history": False,
    "sequential_template": "A-9",
    "direct_template": "B-8",
    "explanation_template": "C-12",
    "validation_users": 10,
    "test_users": 10,
    "select_by": "valid/sequential/ndcg_at_10",
    "probe": True,
    "patience": 2,
    "max_samples": 100,
    "samples_per_explanation": 2,
    "direct_targets": "newer",
}
BY_CONTENT = {"backbone", "encoder_weights", "item_images"}  # their names do not count, their content does


def identity(**changes: Any) -> str:
    return TrialConfig(**changes).fingerprint("data", "backbone", "features")


def test_every_setting_is_covered_here() -> None:
    assert set(OTHERS) == set(TrialConfig.model_fields)


@pytest.mark.parametrize("field", OTHERS)
def test_the_identity_changes_with_every_setting_but_names_of_content(field: str) -> None:
    changed = identity(**{field: OTHERS[field]}) != identity()
    assert changed == (field not in BY_CONTENT)


def test_the_identity_changes_with_the_inputs() -> None:
    config = TrialConfig()
    inputs = [("d", "b", "f"), ("x", "b", "f"), ("d", "x", "f"), ("d", "b", "x"), ("d", "b", None)]
    assert len({config.fingerprint(*given) for given in inputs}) == len(inputs)
    assert config.fingerprint(*inputs[0]) == TrialConfig().fingerprint(*inputs[0])


def test_image_settings_do_not_matter_without_images() -> None:
    text_only = TrialConfig(image_tokens=0).fingerprint("d", "b", None)
    for field in ("encoder", "mapping_norm", "feature_scaling", "item_images", "images", "image_start", "probe"):
        assert TrialConfig(image_tokens=0, **{field: OTHERS[field]}).fingerprint("d", "b", None) == text_only


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rte": 1}, "unknown setting 'learning_rte': did you mean 'learning_rate'?"),
        ({"reduction_factor": 0}, "reduction_factor=0: should be greater than or equal to 1; default: 8"),
        ({"reduction_factor": "8.5"}, "reduction_factor='8.5': should be a valid integer"),
        ({"image_tokens": -1}, "image_tokens=-1: should be greater than or equal to 0; default: 2"),
        ({"image_tokens": "1000"}, "image_tokens='1000': should be less than or equal to"),
        ({"encoder": "ViT-B-32"}, "unknown encoder 'ViT-B-32': did you mean 'ViT-B/32'?"),
        ({"images": "shufled"}, "images='shufled': should be 'own' or 'shuffled'; default: own"),
        ({"tuning": "adaptor"}, "tuning='adaptor': should be 'adapter', 'full', 'frozen', 'lora' or 'ia3'"),
        ({"adapter_positions": "self,sideways"}, "adapter_positions='self,sideways': should be 'self', 'cross' or"),
        ({"tasks": ""}, "tasks=(): name at least one"),
        ({"tasks": "sequential,directt"}, "tasks='sequential,directt': should be 'sequential', 'direct' or"),
        ({"samples_per_user": "5,5"}, "samples_per_user='5,5': "),
        ({"samples_per_user": "5,5,5,-1"}, "samples_per_user='5,5,5,-1': should be greater than or equal to 0"),
        (
            {"select_by": "test/sequential/ndcg_at_10"},
            "select_by='test/sequential/ndcg_at_10': epochs are chosen on validation",
        ),
        ({"sequential_template": "A-7"}, "unknown sequential_template 'A-7': did you mean 'A-"),
        ({"tuning": "frozen", "image_tokens": 0}, "nothing is left to train"),
        ({"learning_rate": "0"}, "learning_rate='0': should be greater than 0; default: 0.001"),
        ({"learning_rate": "inf"}, "learning_rate='inf': should be a finite number"),
        ({"learning_rate": "nan"}, "learning_rate='nan': should be "),
        ({"dropout": 1.0}, "dropout=1.0: should be less than 1"),
        ({"seed": -1}, "seed=-1: should be greater than or equal to 0"),
        ({"epochs": None}, "epochs=None: should be a valid integer"),
        ({"max_source_tokens": 4096}, "max_source_tokens=4096: should be less than or equal to 1024"),
    ],
    ids=lambda value: ",".join(map(str, value.items())) if isinstance(value, dict) else "",
)
def test_impossible_settings_are_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        TrialConfig.from_settings(settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_may_be_text() -> None:
    config = TrialConfig.from_settings(
        {
            "tasks": "sequential, direct",
            "image_tokens": "3",
            "learning_rate": "3e-4",
            "mapping_norm": "false",
            "samples_per_user": "1,2,3,4",
            "test_users": "none",
        }
    )
    assert config.tasks == ("sequential", "direct")
    assert (config.image_tokens, config.learning_rate, config.mapping_norm) == (3, 3e-4, False)
    assert config.samples_per_user == (1, 2, 3, 4)
    assert config.test_users is None
    assert TrialConfig.from_settings({key: str(value) for key, value in {"epochs": 3, "tuning": "full"}.items()}) == (
        TrialConfig(epochs=3, tuning="full")
    )


def choices(setting: str) -> tuple[str, ...]:
    """The values that a setting's type allows."""
    return get_args(TrialConfig.model_fields[setting].annotation)


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (get_args(Tuning), TUNING_METHODS),
        (choices("tuning"), TUNING_METHODS),
        (choices("loss"), LENGTH_POWERS),
        (choices("history_window"), WINDOWS),
        (ADAPTER_POSITIONS, POSITIONS),
        (ID_SCHEMES, {*ids._SCHEMES, PROVIDED}),
        (BASELINES, {*SIMPLE_BASELINES, "sasrec"}),
        (TASKS, {template.task for template in default_templates().templates.values()}),
        (RANKING_TASKS, {t.task for t in default_templates().templates.values() if t.group in ("next_item", "choice")}),
    ],
    ids=["Tuning", "tuning", "loss", "window", "positions", "ids", "baselines", "tasks", "ranking tasks"],
)
def test_the_names_of_a_choice_are_those_that_are_implemented(names: tuple[str, ...], table: Any) -> None:
    assert set(names) == set(table)
    assert len(names) == len(set(names))


def test_every_encoder_has_a_tiny_twin_and_is_in_the_help() -> None:
    folder = Path(vip5core.__file__).parent / "encoders" / "tiny"
    assert {path.stem for path in folder.glob("*.json")} == {f"tiny-{spec.architecture}" for spec in ENCODERS.values()}
    assert all(name == spec.name for name, spec in ENCODERS.items())
    assert all(name in str(TrialConfig.model_fields["encoder"].description) for name in ENCODERS)


def test_the_built_in_backbones_are_in_the_help() -> None:
    assert all(name in str(TrialConfig.model_fields["backbone"].description) for name in BUILT_IN)


def test_every_setting_is_documented_once() -> None:
    described = setting_descriptions()
    assert sorted(setting.name for setting in described) == sorted(P5Config.model_fields)
    for setting in described:
        assert setting.text.endswith("."), setting.name
        assert setting.group.endswith("."), setting.name
    assert len({setting.text for setting in described}) == len(described)


@pytest.mark.parametrize("setting", setting_descriptions(), ids=lambda setting: setting.name)
def test_a_documented_default_is_the_default(setting: Any) -> None:
    assert P5Config.from_settings({setting.name: setting.default}) == P5Config()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_valid_config(name: str) -> None:
    settings = {**preset(name), **({"backbone": "tiny"} if name == "tiny" else {})}
    config = TrialConfig.from_settings(settings)
    assert {key: getattr(config, key) for key in settings} == settings


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown preset 'papr': did you mean 'paper'"):
        preset("papr")


def test_the_paper_preset_has_the_choices_of_the_paper_and_its_code() -> None:
    published = {
        # arXiv 2305.14302, sections 3 and 4
        "backbone": "t5-small",
        "encoder": "ViT-B/32",
        "encoder_weights": "openai",
        "image_tokens": 2,
        "tasks": ("sequential", "direct", "explanation"),
        "tuning": "adapter",
        "reduction_factor": 8,
        "adapter_sharing": "shared",
        "adapter_positions": ("self", "cross", "feed_forward"),
        "learning_rate": 1e-3,
        "warmup": 0.1,
        "weight_decay": 0.01,
        "clip": 5.0,
        "batch_size": 36,
        "dropout": 0.1,
        "epochs": 20,
        "max_source_tokens": 1024,
        "max_target_tokens": 64,
        "sequential_template": "A-3",
        "direct_template": "B-8",
        "explanation_template": "C-12",
        # jeykigung/VIP5
        "item_images": "first",
        "images": "own",
        "feature_scaling": "raw",
        "mapping_norm": True,
        "image_start": "random",
        "adapter_start": "paper",
        "extra_embeddings": "frozen",
        "decay_norms": True,
        "embedding_rate": 1.0,
        "adam_epsilon": 1e-6,
        "loss": "paper",
        "samples_per_user": (5, 5, 5, 5),
        "train_candidates": 100,
        "history_window": "paper",
        "protocol": "paper",
        "num_beams": 20,
        "exclude_history": False,
        "test_users": None,
        "select_by": "valid/loss",
        "precision": "float32",
    }
    config = TrialConfig.from_settings(dict(preset("paper")))
    assert {key: getattr(config, key) for key in published} == published
    ours_alone = {"lora_rank", "max_history", "validation_users", "seed", "probe", "patience", "max_samples"} | {
        "samples_per_explanation",
        "direct_targets",
        "label_smoothing",
    }
    assert set(TrialConfig.model_fields) - set(published) == ours_alone


def test_naming_settings_imports_no_torch() -> None:
    code = "import sys, vip5core.config, vip5core.presets; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
