"""Images are resized and cropped as the encoder's own library does, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import transformers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from vip5core.encoders import EncoderChoice, Geometry, Preparation, Preprocessing
from vip5core.encoders.transformers_models import TransformersModel


def noise_of(width: int, height: int) -> Image.Image:
    noise = np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def pixels_after(steps: Sequence[Callable[[Image.Image], Image.Image]], image: Image.Image) -> np.ndarray:
    """What a library's own steps make of an image."""
    for step in steps:
        image = step(image)
    return pil_to_tensor(image).numpy()


def same_pixels(width: int, height: int, size: int) -> bool:
    """Does an image of noise become the pixels that open_clip's own steps make?"""
    image = noise_of(width, height)
    *steps, _, _ = image_transform_v2(PreprocessCfg(size=size), is_train=False).transforms  # without floats and scaling
    pixels = Preparation(Geometry("shortest", (size, size), (size, size)))(image)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (3, size, size)
    return np.array_equal(pixels, pixels_after(steps, image))


@given(width=st.integers(4, 400), height=st.integers(4, 400), size=st.sampled_from([64, 224]))
@settings(max_examples=60, deadline=None)
def test_pixels_are_open_clips(width: int, height: int, size: int) -> None:
    assert same_pixels(width, height, size)


@pytest.mark.parametrize("sides", [(64, 64), (224, 224), (64, 65), (65, 64), (4, 1000), (1000, 4), (63, 67)])
def test_pixels_are_open_clips_at_the_edges(sides: tuple[int, int]) -> None:
    assert same_pixels(*sides, 64)


#: What open_clip's list of pretrained weights wants, each once.
OPEN_CLIP = {
    (
        config["resize_mode"],
        config["interpolation"],
        str(open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]),
    ): f"{architecture}/{tag}"
    for architecture, tag in open_clip.list_pretrained()
    if open_clip.get_model_config(architecture)
    for config in [open_clip.get_pretrained_cfg(architecture, tag)]
}


@pytest.mark.parametrize("name", OPEN_CLIP.values())
def test_pixels_are_those_that_open_clip_makes_for_each_of_its_models(name: str) -> None:
    architecture, _, tag = name.partition("/")
    size = open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]
    config = merge_preprocess_dict(PreprocessCfg(size=size), open_clip.get_pretrained_cfg(architecture, tag))
    *steps, _, normalise = image_transform_v2(PreprocessCfg(**config), is_train=False).transforms
    found = EncoderChoice(f"open_clip:{name}").model.preprocessing()
    assert (found.mean, found.std) == (tuple(normalise.mean), tuple(normalise.std))
    for sides in ((350, 233), (90, 128)):
        image = noise_of(*sides)
        np.testing.assert_array_equal(Preparation(found.geometry)(image), pixels_after(steps, image))


@given(
    width=st.integers(4, 400),
    height=st.integers(4, 400),
    mode=st.sampled_from(["shortest", "longest", "squash"]),
    size=st.sampled_from([64, 37, (64, 96)]),
    interpolation=st.sampled_from(["bicubic", "bilinear"]),
    fill=st.integers(0, 255),
)
@settings(max_examples=60, deadline=None)
def test_pixels_are_open_clips_in_every_mode(
    width: int, height: int, mode: str, size: Any, interpolation: str, fill: int
) -> None:
    config = PreprocessCfg(size=size, resize_mode=mode, interpolation=interpolation, fill_color=fill)
    image = noise_of(width, height)
    ratio = max(width, height) / min(width, height)
    assume(mode != "longest" or ratio < 30)  # where open_clip itself ends in an error
    pixels = Preparation(Preprocessing.of_open_clip(vars(config)).geometry)(image)
    *steps, _, _ = image_transform_v2(config, is_train=False).transforms
    np.testing.assert_array_equal(pixels, pixels_after(steps, image))


@given(
    width=st.integers(4, 400),
    height=st.integers(4, 400),
    mode=st.sampled_from(["center", "border", "squash"]),
    share=st.sampled_from([0.875, 0.9, 0.95, 1.0]),
    size=st.sampled_from([(64, 64), (75, 75), (64, 96)]),
    interpolation=st.sampled_from(["bicubic", "bilinear", "lanczos"]),
)
@settings(max_examples=80, deadline=None)
def test_pixels_are_timms(
    width: int, height: int, mode: str, share: float, size: tuple[int, int], interpolation: str
) -> None:
    assume(mode != "border" or max(width, height) / min(width, height) < 30)
    config = {"input_size": (3, *size), "crop_mode": mode, "crop_pct": share, "interpolation": interpolation}
    scale = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.2)}
    image = noise_of(width, height)
    theirs = timm.data.create_transform(**config, **scale, normalize=False)(image)
    np.testing.assert_array_equal(Preparation(Preprocessing.of_timm({**config, **scale}).geometry)(image), theirs)


@pytest.mark.parametrize(
    ("kind", "given_size"),
    [
        ("CLIPImageProcessor", {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
        ("BitImageProcessor", {"size": {"shortest_edge": 73}, "crop_size": {"height": 64, "width": 64}}),
        ("SiglipImageProcessor", {"size": {"height": 64, "width": 96}}),
        ("ViTImageProcessor", {"size": {"height": 64, "width": 64}, "resample": 3}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 64}, "crop_pct": 0.875}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
        ("DINOv3ViTImageProcessor", {"size": {"height": 64, "width": 64}}),
    ],
    ids=["clip", "dinov2", "siglip", "vit", "convnext", "convnext of 384", "dinov3"],
)
def test_pixels_are_those_of_transformers(kind: str, given_size: dict[str, Any], tmp_path: Path) -> None:
    getattr(transformers, kind)(**given_size).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    found = TransformersModel(str(tmp_path)).preprocessing()
    mean, std = np.array(found.mean)[:, None, None], np.array(found.std)[:, None, None]
    default = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    of_pil = None if "DINOv3" in kind else transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    for sides in ((211, 150), (64, 90), (91, 64), (40, 40)):
        image = noise_of(*sides)
        ours = (Preparation(found.geometry)(image) / 255 - mean) / std
        level = (1 / 255 / np.array(found.std)).max()
        theirs = np.asarray(default(image, return_tensors="pt")["pixel_values"])[0]
        # Its resizing by torchvision rounds between its two passes, which it makes in another order than PIL.
        assert np.abs(ours - theirs).mean() < 0.5 * level
        if of_pil is not None:
            theirs = np.asarray(of_pil(image, return_tensors="np")["pixel_values"])[0]
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_encoders_of_the_same_geometry_share_their_pixels() -> None:
    siglip, siglip2 = (EncoderChoice(f"open_clip:ViT-B-16-{name}/webli") for name in ("SigLIP", "SigLIP2"))
    assert siglip.model.preprocessing().geometry == siglip2.model.preprocessing().geometry
    openai, laion = EncoderChoice("ViT-B/32", "openai"), EncoderChoice("open_clip:ViT-B-32/laion2b_s34b_b79k")
    assert openai.model.preprocessing() == laion.model.preprocessing()
    assert openai.model.preprocessing().geometry != siglip.model.preprocessing().geometry
