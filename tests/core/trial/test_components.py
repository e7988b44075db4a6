"""Shuffled images: every item gets the image of another one, always the same, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.shop import WITHOUT_IMAGE, small_components, small_config

from vip5core.config import TrialConfig
from vip5core.data.dataset import Dataset
from vip5core.distributed import WorkerGroup
from vip5core.profiling import Stopwatch
from vip5core.prompts import compile_samples
from vip5core.training.loop import accumulate
from vip5core.trial.components import TrialComponents, shuffle_images


def features_of(inputs: TrialComponents, config: TrialConfig) -> np.ndarray:
    features = inputs.model(config).features
    assert features is not None
    return features.numpy()


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 2**32))
def test_every_item_with_an_image_gets_that_of_another_one(with_image: list[bool], seed: int) -> None:
    has_image = np.array([False, *with_image])
    features = np.where(has_image, np.arange(len(has_image)), 0).astype(np.float32)[:, None]
    before = features.copy()
    mixed = shuffle_images(features, has_image, seed)
    np.testing.assert_array_equal(features, before)  # the store's own features are left alone
    np.testing.assert_array_equal(mixed[~has_image], features[~has_image])
    assert sorted(mixed[has_image, 0]) == sorted(features[has_image, 0])
    if has_image.sum() > 1:
        assert (mixed[has_image] != features[has_image]).all()


def test_the_seed_decides_the_shuffle(shop: Dataset) -> None:
    inputs = small_components(shop)
    own = features_of(inputs, small_config())
    first, again, other = (features_of(inputs, small_config(images="shuffled", seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with_image = inputs.layout(small_config()).has_image
    for mixed in (first, other):
        assert (mixed[with_image] != own[with_image]).any(axis=1).all()
        assert not mixed[[0, *WITHOUT_IMAGE]].any()
        np.testing.assert_array_equal(np.sort(mixed, axis=0), np.sort(own, axis=0))


def test_the_control_differs_in_the_images_only(shop: Dataset) -> None:
    own, control = (small_components(shop).model(small_config(images=how)) for how in ("own", "shuffled"))
    for (name, ours), (_, theirs) in zip(own.state_dict().items(), control.state_dict().items(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("scaling", ["standard", "raw"])
def test_the_inputs_of_the_mapping_network_are_shuffled(shop: Dataset, scaling: str) -> None:
    inputs = small_components(shop)
    own = features_of(inputs, small_config(feature_scaling=scaling))
    mixed = features_of(inputs, small_config(feature_scaling=scaling, images="shuffled"))
    assert {row.tobytes() for row in mixed} == {row.tobytes() for row in own}


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["adapter", "full"])
def test_bfloat16_casts_the_frozen_maps_once_and_learns_as_float32_does(shop: Dataset, tuning: str) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        config = small_config(precision=precision, tuning=tuning, dropout=0.0)
        inputs = small_components(shop)
        model, data = inputs.model(config).train(), inputs.training_data(config)
        of_maps = {p.dtype for name, p in model.named_parameters() if ".block." in name and not p.requires_grad}
        assert of_maps <= {torch.bfloat16 if precision == "bfloat16" else torch.float32, torch.float32}
        assert (torch.bfloat16 in of_maps) == (precision == "bfloat16" and tuning == "adapter")
        assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
        samples = data.sampler.draw(0)[:20]
        compiled = compile_samples(samples, data.tables, data.layout)
        losses.append(
            float(accumulate(model, compiled, np.arange(20), data, config, WorkerGroup(), Stopwatch()).detach())
        )
        assert all(p.grad is not None for p in model.mapping.parameters())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize("norm", [True, False])
def test_image_tokens_can_start_at_the_placeholder_to_which_the_image_adds(shop: Dataset, norm: bool) -> None:
    inputs = small_components(shop)
    config = small_config(image_start="placeholder", mapping_norm=norm, image_tokens=3)
    model = inputs.model(config)
    placeholder = model.backbone.get_input_embeddings().weight[inputs.tables.placeholder]
    with torch.no_grad():
        tokens = model.mapping(model.features[1:3])
        model.mapping.outer.weight.zero_()
        without = model.mapping(model.features[1:3])
    torch.testing.assert_close(without, placeholder.expand(2, 3, -1))
    assert not torch.allclose(tokens[0], tokens[1])


def test_a_p5_stage_trains_the_placeholder_and_a_trial_without_images_never_meets_it(shop: Dataset) -> None:
    inputs = small_components(shop)
    config = small_config(image_tokens=0)
    for most, there in ((0, False), (2, True)):
        data = inputs.training_data(config, placeholders=most)
        compiled = compile_samples(data.sampler.draw(0)[:50], data.tables, data.layout)
        assert (data.tables.placeholder in compiled.tokens) == there
