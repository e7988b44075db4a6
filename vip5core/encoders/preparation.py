"""Images as the pixels that an encoder reads, made without PyTorch: a process that only decodes starts in no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vip5core.encoders.preprocessing import Geometry, Size

if TYPE_CHECKING:
    from vip5core.encoders.choice import EncoderChoice


class Preparation:
    """Turns an image into the pixels that an encoder reads: resized and cropped as its own library does.

    Args:
        geometry: what is done to the image. Encoders of the same geometry share their pixels.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self._filter = Image.Resampling[geometry.interpolation.upper()]

    @classmethod
    def of(cls, choice: EncoderChoice) -> Preparation:
        """The preparation for an encoder."""
        return cls(choice.model.preprocessing().geometry)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Shape: [3, height, width] of the geometry's crop, uint8: a quarter of the memory of the libraries' floats.

        The transforms of open_clip and timm of an image of RGB come to these calls of PIL (`torchvision.transforms`,
        `Resize` and `CenterCrop`), whose rounding is kept, so that the pixels are the same; those of transformers as
        its processors of PIL make them.
        """
        height, width = self._resized(image.height, image.width)
        image = self._cropped(image.resize((width, height), self._filter))
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    def _resized(self, height: int, width: int) -> Size:
        wanted = self.geometry
        to_height, to_width = wanted.to
        if wanted.resize == "squash":
            return wanted.to
        if wanted.resize == "shortest" and to_height == to_width:
            longer = int(to_width * max(width, height) / min(width, height))
            return (longer, to_width) if width <= height else (to_width, longer)
        ratios = (height / to_height, width / to_width)
        ratio = max(ratios) if wanted.resize == "longest" else min(ratios)
        return max(1, round(height / ratio)), max(1, round(width / ratio))

    def _cropped(self, image: Image.Image) -> Image.Image:
        crop_height, crop_width = self.geometry.crop
        wide, high = max(image.width, crop_width), max(image.height, crop_height)
        if (wide, high) != image.size:
            padded = Image.new("RGB", (wide, high), self.geometry.fill)
            padded.paste(image, ((wide - image.width) // 2, (high - image.height) // 2))
            image = padded
        place = int if self.geometry.crop_down else round
        left, top = place((wide - crop_width) / 2.0), place((high - crop_height) / 2.0)
        return image.crop((left, top, left + crop_width, top + crop_height))
