"""One object says all about a trial, refuses what cannot be, and is the trial's identity."""

from __future__ import annotations

from typing import Any

import pytest

from vip5core.config import TrialConfig
from vip5core.errors import UserError

# For every field another valid value.
OTHERS: dict[str, Any] = {
    "tasks": ("sequential", "direct"),
    "seed": 1,
    "encoder": "RN50",
    "encoder_weights": "tiny",
    "image_tokens": 3,
    "mapping_norm": False,
    "feature_scaling": "raw",
    "images": "shuffled",
    "backbone": "tiny",
    "tuning": "lora",
    "reduction_factor": 4,
    "adapter_positions": ("self",),
    "adapter_sharing": "per_task",
    "adapter_start": "paper",
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
}
BY_CONTENT = {"backbone", "encoder_weights"}  # their names do not count, their content does


def identity(**changes: Any) -> str:
    return TrialConfig(**changes).fingerprint("data", "backbone", "features")


def test_every_field_is_looked_at() -> None:
    assert set(OTHERS) == set(TrialConfig.model_fields)


@pytest.mark.parametrize("field", OTHERS)
def test_the_identity_changes_with_what_matters_and_only_with_it(field: str) -> None:
    changed = identity(**{field: OTHERS[field]}) != identity()
    assert changed == (field not in BY_CONTENT)


def test_the_identity_changes_with_the_inputs() -> None:
    config = TrialConfig()
    inputs = [("d", "b", "f"), ("x", "b", "f"), ("d", "x", "f"), ("d", "b", "x"), ("d", "b", None)]
    assert len({config.fingerprint(*given) for given in inputs}) == len(inputs)
    assert config.fingerprint(*inputs[0]) == TrialConfig().fingerprint(*inputs[0])


def test_image_settings_do_not_matter_without_images() -> None:
    blind = TrialConfig(image_tokens=0).fingerprint("d", "b", None)
    for field in ("encoder", "mapping_norm", "feature_scaling", "images", "probe"):
        assert TrialConfig(image_tokens=0, **{field: OTHERS[field]}).fingerprint("d", "b", None) == blind


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rte": 1}, "unknown setting 'learning_rte': did you mean 'learning_rate'?"),
        ({"reduction_factor": 0}, "reduction_factor=0: should be greater than or equal to 1; default: 8"),
        ({"reduction_factor": "8.5"}, "reduction_factor='8.5': should be a valid integer"),
        ({"image_tokens": -1}, "image_tokens=-1: should be greater than or equal to 0; default: 2"),
        ({"image_tokens": "1000"}, "image_tokens='1000': should be less than or equal to"),
        ({"encoder": "ViT-B-32"}, "unknown encoder 'ViT-B-32': did you mean 'ViT-B/32'?"),
        ({"images": "shufled"}, "images='shufled': should be 'own' or 'shuffled'; default: 'own'"),
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
def test_what_cannot_be_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
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
