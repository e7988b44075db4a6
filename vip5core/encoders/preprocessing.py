"""What an encoder wants done to an image: how it is resized and cropped, and how its pixels are scaled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: The height and the width, in pixels.
Size = tuple[int, int]
Triple = tuple[float, float, float]

#: What OpenAI's models, and most of open_clip's, subtract from pixels between 0 and 1, and divide them by (red, green,
#: blue).
OPENAI_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Triple = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Geometry:
    """How an image becomes pixels: it is resized, and its centre cropped. Encoders with the same share their pixels.

    Attributes:
        resize: the side that is brought to `to`: the shortest, the longest, or both (`squash`), which changes the
            ratio of the sides.
        to: what the resize aims at.
        crop: the size of the result; where the resized image is smaller, it is padded.
        interpolation: the name of a resampling filter of PIL, in small letters.
        fill: the colour of the padding (red, green, blue; 0 to 255).
        crop_down: round the place of the crop down, as transformers does, instead of to the nearest even pixel.
    """

    resize: Literal["shortest", "longest", "squash"]
    to: Size
    crop: Size
    interpolation: str = "bicubic"
    fill: tuple[int, int, int] = (0, 0, 0)
    crop_down: bool = False


@dataclass(frozen=True)
class Preprocessing:
    """The geometry, and the mean and standard deviation that pixels between 0 and 1 are scaled by."""

    geometry: Geometry
    mean: Triple
    std: Triple

    @classmethod
    def of_open_clip(cls, config: Mapping[str, Any]) -> Preprocessing:
        """What `open_clip.transform.image_transform_v2` does outside training.

        Args:
            config: the fields of `open_clip.transform.PreprocessCfg`.
        """
        size, mode = _pair(config["size"]), config["resize_mode"]
        # "random" is for training, and of images that are not square the interpolation is not asked (open_clip 3.3).
        bilinear = config["interpolation"] == "bilinear" and (mode != "shortest" or size[0] == size[1])
        fill = (int(config.get("fill_color") or 0),) * 3 if mode == "longest" else (0, 0, 0)
        geometry = Geometry(mode, size, size, "bilinear" if bilinear else "bicubic", fill)
        return cls(geometry, _triple(config["mean"]), _triple(config["std"]))

    @classmethod
    def of_timm(cls, config: Mapping[str, Any]) -> Preprocessing:
        """What `timm.data.create_transform` does outside training.

        Args:
            config: the result of `timm.data.resolve_model_data_config`.
        """
        crop = _pair(config["input_size"][1:])
        to = (math.floor(crop[0] / config["crop_pct"]), math.floor(crop[1] / config["crop_pct"]))
        mean = _triple(config["mean"])
        interpolation = {"random": "bilinear"}.get(config["interpolation"], config["interpolation"])
        if config["crop_mode"] == "border":
            red, green, blue = (round(255 * part) for part in mean)
            geometry = Geometry("longest", to, crop, interpolation, (red, green, blue))
        else:
            geometry = Geometry("squash" if config["crop_mode"] == "squash" else "shortest", to, crop, interpolation)
        return cls(geometry, mean, _triple(config["std"]))


def _pair(size: int | Sequence[int]) -> Size:
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[-1]))


def _triple(values: float | Sequence[float]) -> Triple:
    if isinstance(values, int | float):
        return (float(values),) * 3
    red, green, blue = values
    return float(red), float(green), float(blue)
