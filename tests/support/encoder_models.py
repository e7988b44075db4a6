"""Models of open_clip, timm and transformers with random weights, saved as these libraries save them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from timm.models import save_for_hf

#: What a SigLIP of open_clip wants done to an image.
SIGLIP = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
SMALL_TEXT = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}
SMALL_TOWER = {"image_size": 64, "layers": 2, "width": 32, "patch_size": 16, "head_width": 16}
_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def pictures(n: int = 10) -> list[Image.Image]:
    """Noise, smooth and rough, on grounds of different colour, of different shapes."""
    rng = np.random.default_rng(5)
    made = []
    for i in range(n):
        size = (60 + 37 * i, 300 - 23 * i)
        noise = rng.integers(0, 256, (9 + i, 12, 3), dtype=np.uint8)
        made.append(
            Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC if i % 2 else Image.Resampling.NEAREST)
        )
    return made


def save_open_clip(folder: Path, preprocessing: dict[str, Any] | None = None, **tower: Any) -> Path:
    """A model of open_clip; `tower` changes the small vision tower."""
    config = {"embed_dim": 24, "vision_cfg": {**SMALL_TOWER, **tower}, "text_cfg": SMALL_TEXT}
    if "timm_model_name" in tower:
        config["vision_cfg"] = tower
        config["custom_text"] = True
    folder.mkdir(parents=True)
    torch.manual_seed(3)
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    save_file(_lively(kind(**config)).state_dict(), folder / "open_clip_model.safetensors")
    if kind is open_clip.CustomTextCLIP:
        config["custom_text"] = True
    content = {"model_cfg": config, "preprocess_cfg": SIGLIP if preprocessing is None else preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    return folder


def _lively(model: torch.nn.Module) -> torch.nn.Module:
    """The model with more noise in its weights: some towers begin with the same feature for all pictures."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return model


def save_timm(folder: Path, name: str = "test_vit.r160_in1k", **settings: Any) -> Path:
    """A model of timm; `settings` changes its pretrained configuration."""
    torch.manual_seed(3)
    model = _lively(timm.create_model(name, pretrained=False, pretrained_cfg_overlay=settings))
    save_for_hf(model, folder, safe_serialization=True)
    return folder


def _clip() -> Any:
    vision = {**_SMALL, "image_size": 64, "patch_size": 16}
    text = {**_SMALL, "num_hidden_layers": 1, "vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    return vision, text


def save_transformers(folder: Path, kind: str) -> Path:
    """A model of transformers with its image processor: clip, clip_vision, siglip, dinov2, dinov3, vit or convnext."""
    vision, text = _clip()
    square = {"height": 64, "width": 64}
    torch.manual_seed(3)
    if kind.startswith("clip"):
        config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=24)
        model: Any = transformers.CLIPModel(config)
        if kind == "clip_vision":
            config.vision_config.projection_dim = 24
            model = transformers.CLIPVisionModelWithProjection(config.vision_config)
        processor: Any = transformers.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size=square)
    elif kind == "siglip":
        model = transformers.SiglipModel(transformers.SiglipConfig(vision_config=vision, text_config=text))
        processor = transformers.SiglipImageProcessor(size=square)
    elif kind == "dinov2":
        model = transformers.Dinov2Model(transformers.Dinov2Config(**_small_vision(vision)))
        processor = transformers.BitImageProcessor(size={"shortest_edge": 73}, crop_size=square)
    elif kind == "dinov3":
        model = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**_small_vision(vision)))
        processor = transformers.DINOv3ViTImageProcessor(size=square)
    elif kind == "vit":
        model = transformers.ViTForImageClassification(transformers.ViTConfig(**_small_vision(vision)))
        processor = transformers.ViTImageProcessor(size=square)
    else:
        sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
        model = transformers.ConvNextModel(transformers.ConvNextConfig(**sizes))
        processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.875)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _small_vision(vision: dict[str, Any]) -> dict[str, Any]:
    return {**vision, "num_labels": 3}


def as_in_the_hubs_cache(cache: Path, repository: str, saved: Path, commit: str) -> None:
    """Put a saved model where the hub's client keeps what it has downloaded."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / "main").write_text(commit)
    (place / "snapshots").mkdir(exist_ok=True)
    saved.rename(place / "snapshots" / commit)
