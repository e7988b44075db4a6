"""Encoders of open_clip, timm and transformers, loaded from local folders by the user's route.

Their features are those of a plain loop of their own library, with its own preprocessing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from support.encoder_models import (
    as_in_the_hubs_cache,
    pictures,
    save_open_clip,
    save_timm,
    save_transformers,
)

from vip5core.encoders import EncoderChoice, Preparation, load_encoder
from vip5core.errors import UserError


def features_of(name: str) -> np.ndarray:
    """The features of ten pictures as an extraction computes them."""
    choice = EncoderChoice(name)
    encoder, prepare = load_encoder(choice), Preparation.of(choice)
    features = encoder.encode(np.stack([prepare(picture) for picture in pictures()]))
    outline = choice.model.outline()
    assert features.shape == (10, outline.feature_width)
    assert outline.image_size == prepare.geometry.crop
    return features


def assert_same(features: np.ndarray, expected: np.ndarray, share: float = 0.01) -> None:
    """The features differ by less than a share of what they differ by from picture to picture."""
    spread = expected.std(0).mean()
    assert spread > 1e-6  # of the magnitude of what random weights give
    assert np.abs(features - expected).max() < share * spread


def loop_of_open_clip(where: str, **weights: Any) -> np.ndarray:
    model, _, transform = open_clip.create_model_and_transforms(where, **weights)
    model.eval()
    with torch.inference_mode():
        return torch.cat([model.encode_image(transform(picture)[None]) for picture in pictures()]).numpy()


def loop_of_timm(where: str, **settings: Any) -> np.ndarray:
    model = timm.create_model(where, pretrained=True, num_classes=0, **settings).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.inference_mode():
        return torch.cat([model(transform(picture)[None]) for picture in pictures()]).numpy()


def loop_of_transformers(folder: Path, backend: str = "torchvision") -> np.ndarray:
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend=backend)
    model: Any = transformers.AutoModel.from_pretrained(folder).eval()
    found = []
    for picture in pictures():
        pixels = torch.as_tensor(np.asarray(processor(picture, return_tensors="pt")["pixel_values"]))
        with torch.inference_mode():
            if hasattr(model, "get_image_features"):
                found.append(model.get_image_features(pixel_values=pixels).pooler_output)
            else:
                found.append(model(pixel_values=pixels).pooler_output)
    return torch.cat(found).numpy().reshape(10, -1)


PREPROCESSING = [
    {"resize_mode": "squash", "mean": [0.5] * 3, "std": [0.5] * 3},
    {"resize_mode": "longest", "interpolation": "bilinear", "fill_color": 90},
    {"resize_mode": "shortest", "mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear"},
    {},
]


@pytest.mark.slow
@pytest.mark.parametrize("preprocessing", PREPROCESSING, ids=["siglip", "longest", "mobileclip", "default"])
def test_a_folder_of_open_clip(preprocessing: dict[str, Any], tmp_path: Path) -> None:
    folder = save_open_clip(tmp_path / "model", preprocessing)
    assert_same(features_of(f"open_clip:local-dir:{folder}"), loop_of_open_clip(f"local-dir:{folder}"))


def test_a_folder_of_open_clip_whose_tower_is_timms(tmp_path: Path) -> None:
    load_encoder(EncoderChoice("RN50"))  # which hides timm from open_clip: it comes back
    tower = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "token", "timm_proj": "linear"}
    folder = save_open_clip(tmp_path / "model", **tower, image_size=160)
    assert_same(features_of(f"open_clip:local-dir:{folder}"), loop_of_open_clip(f"local-dir:{folder}"))


def test_a_tower_that_gives_features_of_places_too(tmp_path: Path) -> None:
    folder = save_open_clip(tmp_path / "model", output_tokens=True)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.inference_mode():
        expected = torch.cat([model.eval().visual(transform(picture)[None])[0] for picture in pictures()])
    assert_same(features_of(f"open_clip:local-dir:{folder}"), expected.numpy())


@pytest.fixture
def saved_tag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A tag of open_clip's list whose weights are a local file, as after a download: OpenAI's, with quick GELU."""
    config = open_clip.get_model_config("ViT-B-32")
    small = {
        **config,
        "vision_cfg": {**config["vision_cfg"], "layers": 1},
        "text_cfg": {**config["text_cfg"], "layers": 1},
    }
    torch.manual_seed(1)
    torch.save(open_clip.CLIP(**small).state_dict(), tmp_path / "weights.pt")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", small)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32-quickgelu", {**small, "quick_gelu": True})
    own = open_clip.get_pretrained_cfg("ViT-B-32", "openai")
    monkeypatch.setitem(own, "file", str(tmp_path / "weights.pt"))
    return "ViT-B-32/openai"


@pytest.mark.slow
def test_a_tag_of_open_clip(saved_tag: str) -> None:
    expected = loop_of_open_clip("ViT-B-32", pretrained="openai", force_quick_gelu=True)
    assert_same(features_of(f"open_clip:{saved_tag}"), expected)


TIMM = [
    {"crop_mode": "center", "crop_pct": 0.9},
    {"crop_mode": "squash", "crop_pct": 1.0, "interpolation": "bilinear"},
    {"crop_mode": "border", "crop_pct": 0.95, "mean": (0.5, 0.4, 0.3)},
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", TIMM, ids=["center", "squash", "border"])
def test_a_folder_of_timm(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = save_timm(tmp_path / "model", **settings)
    expected = loop_of_timm(f"local-dir:{folder}")
    assert_same(features_of(f"timm:local-dir:{folder}"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_vit.r160_in1k", "test_convnext.r160_in1k", "test_resnet.r160_in1k"])
def test_a_model_of_timm_with_a_file_of_weights(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    file = tmp_path / "weights.pt"
    torch.save(timm.create_model(name, pretrained=False).state_dict(), file)
    expected = loop_of_timm(name, pretrained_cfg_overlay={"file": str(file)})
    assert_same(features_of(f"timm:{name}@{file}"), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2", "vit_pooled", "dinov3", "convnext"])
def test_a_folder_of_transformers(kind: str, tmp_path: Path) -> None:
    if kind == "vit_pooled":
        folder = save_transformers(tmp_path / "model", "vit")
        config = transformers.ViTConfig.from_pretrained(folder)
        transformers.ViTModel(config).save_pretrained(folder)
    else:
        folder = save_transformers(tmp_path / "model", kind)
    features = features_of(f"hf:{folder}")
    # Resizing by torchvision, the default, differs from PIL's by a level of 255 here and there.
    assert_same(features, loop_of_transformers(folder), 0.05)
    if kind != "dinov3":  # which has no processor of PIL
        assert_same(features, loop_of_transformers(folder, "pil"))


def test_a_vision_tower_of_transformers_that_was_saved_with_its_projection(tmp_path: Path) -> None:
    folder = save_transformers(tmp_path / "model", "clip_vision")
    model = transformers.CLIPVisionModelWithProjection.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    with torch.inference_mode():
        pixels = [torch.as_tensor(np.asarray(processor(p, return_tensors="pt")["pixel_values"])) for p in pictures()]
        expected = torch.cat([model(pixel_values=one).image_embeds for one in pixels])
    assert_same(features_of(f"hf:{folder}"), expected.numpy())


def test_without_weights_of_a_pooler_the_class_token_is_taken_and_no_random_pooler(tmp_path: Path) -> None:
    folder = save_transformers(tmp_path / "model", "vit")  # a classifier, which has no pooler
    model = transformers.ViTForImageClassification.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    with torch.inference_mode():
        pixels = [torch.as_tensor(np.asarray(processor(p, return_tensors="pt")["pixel_values"])) for p in pictures()]
        expected = torch.cat([model.vit(pixel_values=one).last_hidden_state[:, 0] for one in pixels])
    assert_same(features_of(f"hf:{folder}"), expected.numpy())


@pytest.mark.slow
@pytest.mark.parametrize("family", ["open_clip:hf-hub:", "timm:hf-hub:", "hf:"])
def test_a_repository_of_the_hub_in_the_revision_of_its_download(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    saved = {
        "open_clip:hf-hub:": lambda: save_open_clip(tmp_path / "model"),
        "timm:hf-hub:": lambda: save_timm(tmp_path / "model"),
        "hf:": lambda: save_transformers(tmp_path / "model", "clip"),
    }[family]
    shutil.copytree(saved(), tmp_path / "copy")
    local = {"open_clip:hf-hub:": "open_clip:local-dir:", "timm:hf-hub:": "timm:local-dir:", "hf:": "hf:"}[family]
    expected = features_of(f"{local}{tmp_path / 'copy'}")
    as_in_the_hubs_cache(cache, "someone/model", tmp_path / "model", "a" * 40)
    np.testing.assert_array_equal(features_of(f"{family}someone/model"), expected)
    first = EncoderChoice(f"{family}someone/model").fingerprint
    pinned = EncoderChoice(f"{family}someone/model").anywhere()  # a newer commit elsewhere makes no difference
    assert pinned.name == f"{family}someone/model@{'a' * 40}"
    assert pinned.fingerprint == first
    as_in_the_hubs_cache(cache, "someone/model", tmp_path / "copy", "b" * 40)
    assert EncoderChoice(f"{family}someone/model").fingerprint != first
    with pytest.raises(UserError, match=r"neither in the cache of the hub nor can it be downloaded") as caught:
        EncoderChoice(f"{family}someone/else").check()
    assert "\n" not in str(caught.value)


SAVE = {
    "open_clip:local-dir:": save_open_clip,
    "timm:local-dir:": save_timm,
    "hf:": lambda folder: save_transformers(folder, "dinov2"),
}


@pytest.mark.parametrize("family", SAVE)
def test_a_folder_is_known_by_its_content(family: str, tmp_path: Path) -> None:
    folder = SAVE[family](tmp_path / "model")
    before = EncoderChoice(f"{family}{folder}").fingerprint
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(folder, moved)
    assert EncoderChoice(f"{family}{moved}").fingerprint == before
    config = next(path for path in moved.glob("*config.json") if "preprocessor" not in path.name)
    config.write_text(config.read_text().replace("{", '{"note": 1, ', 1))
    assert EncoderChoice(f"{family}{moved}").fingerprint != before
    weights = next(folder.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert EncoderChoice(f"{family}{folder}").fingerprint != before


@pytest.mark.parametrize("family", SAVE)
def test_a_folder_without_or_with_broken_weights_is_refused_in_one_line(family: str, tmp_path: Path) -> None:
    folder = SAVE[family](tmp_path / "model")
    choice = EncoderChoice(f"{family}{folder}")
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:200])
    for message in ("cannot be loaded", "must hold|no file named"):
        with pytest.raises(UserError, match=message) as caught:
            load_encoder(choice)
        assert "\n" not in str(caught.value)
        assert str(folder) in str(caught.value)
        weights.unlink(missing_ok=True)
    for config in folder.glob("*.json"):
        config.unlink()
    with pytest.raises(UserError, match=r"must hold .*config\.json"):
        choice.check()
    with pytest.raises(UserError, match=r"there is no folder .*; check the path"):
        EncoderChoice(f"{family}{folder}/nowhere").check()


def test_a_model_of_transformers_that_lacks_weights_or_a_processor_is_refused(tmp_path: Path) -> None:
    folder = save_transformers(tmp_path / "model", "dinov2")
    (folder / "preprocessor_config.json").rename(tmp_path / "away.json")
    with pytest.raises(UserError, match="has no image processor that can be read"):
        load_encoder(EncoderChoice(f"hf:{folder}"))
    settings = json.loads((tmp_path / "away.json").read_text())
    for changes, message in (
        ({"do_center_crop": False}, "must make images of one size"),
        ({"do_resize": False}, "must resize and rescale"),
        ({"image_processor_type": "PixtralImageProcessor"}, "has steps of its own"),
    ):
        (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **changes}))
        with pytest.raises(UserError, match=message):
            load_encoder(EncoderChoice(f"hf:{folder}"))
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(UserError, match=r"of its weights are missing \(encoder\.layer\.2"):
        load_encoder(EncoderChoice(f"hf:{folder}"))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(UserError):
        load_encoder(EncoderChoice(f"hf:{folder}"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-16-SigLIP2", "MobileCLIP2-S0"])
def test_a_tower_of_open_clip_at_its_real_size(name: str, tmp_path: Path) -> None:
    vision = open_clip.get_model_config(name)
    tag = open_clip.list_pretrained_tags_by_model(name)[0]
    own = open_clip.get_pretrained_cfg(name, tag)
    chosen = {key: own[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    folder = save_open_clip(tmp_path / "model", chosen, **vision["vision_cfg"])
    assert_same(features_of(f"open_clip:local-dir:{folder}"), loop_of_open_clip(f"local-dir:{folder}"))
    listed = EncoderChoice(f"open_clip:{name}/{tag}").model
    assert listed.preprocessing() == EncoderChoice(f"open_clip:local-dir:{folder}").model.preprocessing()


@pytest.mark.slow
def test_a_tower_of_timm_at_its_real_size(tmp_path: Path) -> None:
    folder = save_timm(tmp_path / "model", "vit_small_patch16_dinov3.lvd1689m")
    expected = loop_of_timm(f"local-dir:{folder}")
    assert_same(features_of(f"timm:local-dir:{folder}"), expected)


@pytest.mark.slow
def test_a_tower_of_transformers_at_its_real_size(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    transformers.Dinov2Model(
        transformers.Dinov2Config(num_hidden_layers=12, hidden_size=384, num_attention_heads=6)
    ).save_pretrained(folder)
    transformers.BitImageProcessor(size={"shortest_edge": 256}).save_pretrained(folder)
    assert_same(features_of(f"hf:{folder}"), loop_of_transformers(folder, "pil"))
