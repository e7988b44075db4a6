"""The numbers of trainable parameters are those of the official code at T5-small."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support.tiny import random_backbone
from transformers import T5Config, T5ForConditionalGeneration

from vip5core.config import ModelOptions
from vip5core.errors import UserError
from vip5core.model import TUNING_METHODS, build_vip5, count_parameters
from vip5core.model.adapters import add_adapters

pytestmark = pytest.mark.slow

TASKS = ("sequential", "direct", "explanation")

# (image tokens, reduction factor) -> trainable parameters and their share, with features of width 512
OFFICIAL = {
    (1, 2): (8_167_168, 11.81),
    (1, 4): (4_231_168, 6.49),
    (1, 8): (2_263_168, 3.58),
    (1, 16): (1_279_168, 2.05),
    (1, 32): (787_168, 1.27),
    (2, 2): (8_692_736, 12.47),
    (2, 4): (4_756_736, 7.23),
    (2, 8): (2_788_736, 4.37),
    (2, 16): (1_804_736, 2.87),
    (2, 32): (1_312_736, 2.11),
    (5, 2): (11_842_304, 16.26),
    (5, 4): (7_906_304, 11.47),
    (5, 8): (5_938_304, 8.87),
    (5, 16): (4_954_304, 7.51),
    (5, 32): (4_462_304, 6.82),
}


def t5_small(options: ModelOptions, feature_width: int = 512) -> torch.nn.Module:
    """VIP5 on a T5-small that takes no memory, with the vocabulary of the official code, T5's own 32,100."""
    with torch.device("meta"):
        backbone = T5ForConditionalGeneration(T5Config(vocab_size=32_100, decoder_start_token_id=0))
        return build_vip5(backbone, options, torch.zeros(1, feature_width))


@pytest.mark.parametrize(("image_tokens", "reduction_factor"), OFFICIAL)
def test_trainable_parameters_and_their_share(image_tokens: int, reduction_factor: int) -> None:
    count = count_parameters(t5_small(ModelOptions(image_tokens=image_tokens, reduction_factor=reduction_factor)))
    trainable, percent = OFFICIAL[image_tokens, reduction_factor]
    assert count.trainable == trainable
    assert round(count.percent, 2) == percent


@pytest.mark.parametrize(
    ("options", "feature_width", "trainable"),
    [
        (ModelOptions(), 768, 2_919_808),
        (ModelOptions(), 1024, 3_050_880),
        (ModelOptions(adapter_positions=("self", "feed_forward")), 512, 2_392_064),
        (ModelOptions(adapter_positions=()), 512, 805_376),
        (ModelOptions(adapter_sharing="per_task"), 512, 6_755_456),
    ],
    ids=["ViT-L/14", "RN50", "no cross-attention adapter", "no adapter", "an adapter per task"],
)
def test_trainable_parameters_of_other_choices(options: ModelOptions, feature_width: int, trainable: int) -> None:
    assert count_parameters(t5_small(options, feature_width)).trainable == trainable


def test_the_backbone_with_its_extra_embeddings_has_the_official_size() -> None:
    count = count_parameters(t5_small(ModelOptions(tuning="full", image_tokens=0)))
    unused_categories = 14 * 512  # the official table has 16 rows, of which two occur
    assert count.total + unused_categories == 61_024_768
    assert count.trainable == count.total
    assert count.percent == 100.0


def test_each_method_trains_its_own_part_and_the_mapping_network() -> None:
    trained = {}
    for tuning in TUNING_METHODS:
        model = t5_small(ModelOptions(tuning=tuning))
        trained[tuning] = count_parameters(model).trainable
        assert all(p.requires_grad for p in model.mapping.parameters())
    assert trained["frozen"] == 805_376 - 16_384  # no layer norms, but that of the mapping network
    assert trained["frozen"] < trained["ia3"] < trained["lora"] < trained["adapter"] < trained["full"]


def test_adapters_start_as_the_identity_unless_the_papers_start_is_chosen() -> None:
    ids = torch.arange(3, 9)[None]
    before = random_backbone.__wrapped__(7)(input_ids=ids, labels=ids).logits
    for start, same in (("identity", True), ("paper", False)):
        backbone = random_backbone.__wrapped__(7)
        build_vip5(backbone, ModelOptions(image_tokens=0, adapter_start=start, reduction_factor=4))
        after = backbone.eval()(input_ids=ids, labels=ids).logits
        assert torch.allclose(after, before, atol=1e-5) == same


def test_a_task_has_its_own_adapter() -> None:
    options = ModelOptions(image_tokens=0, adapter_sharing="per_task", adapter_start="paper", reduction_factor=4)
    model = build_vip5(random_backbone.__wrapped__(7), options).eval()
    ids = torch.arange(3, 9)[None]
    outputs = []
    for task in TASKS:
        with model.adapters_of(task):
            outputs.append(model.backbone(input_ids=ids, labels=ids).logits)
    assert not torch.allclose(outputs[0], outputs[1])
    assert not torch.allclose(outputs[1], outputs[2])


@pytest.mark.parametrize("reduction_factor", [0, -1, 17])
def test_an_impossible_reduction_factor_is_refused(reduction_factor: int) -> None:
    with pytest.raises(UserError, match=rf"reduction_factor={reduction_factor}: must be between 1 and .* 16"):
        add_adapters(random_backbone.__wrapped__(0), d_model=16, reduction_factor=reduction_factor)


@pytest.mark.parametrize("options", [{"reduction_factor": 0}, {"tuning": "adaptor"}, {"adapter_positions": ("up",)}])
def test_impossible_options_are_refused_before_a_model_is_built(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        ModelOptions(**options)
