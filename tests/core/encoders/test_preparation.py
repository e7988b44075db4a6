"""Images are resized and cropped as open_clip does, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from vip5core.encoders import Geometry, Preparation


def same_pixels(width: int, height: int, size: int) -> bool:
    """Does an image of noise become the pixels that open_clip's own steps make?"""
    noise = np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    *steps, _, _ = image_transform_v2(PreprocessCfg(size=size), is_train=False).transforms  # without floats and scaling
    pixels = Preparation(Geometry("shortest", (size, size), (size, size)))(image)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, size, size)
    for step in steps:
        image = step(image)
    return np.array_equal(pixels, pil_to_tensor(image).numpy())


@given(width=st.integers(4, 400), height=st.integers(4, 400), size=st.sampled_from([64, 224]))
@settings(max_examples=60, deadline=None)
def test_pixels_are_open_clips(width: int, height: int, size: int) -> None:
    assert same_pixels(width, height, size)


@pytest.mark.parametrize("sides", [(64, 64), (224, 224), (64, 65), (65, 64), (4, 1000), (1000, 4), (63, 67)])
def test_pixels_are_open_clips_at_the_edges(sides: tuple[int, int]) -> None:
    assert same_pixels(*sides, 64)
