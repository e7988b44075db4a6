"""Images as the pixels that an encoder reads, made without PyTorch: a process that only decodes starts in no time."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vip5core.encoders.zoo import EncoderChoice


class Preparation:
    """Turns an image into the pixels that an encoder reads: resized and cropped as open_clip does.

    Args:
        size: the side of the result in pixels. Encoders of the same size share their pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    @classmethod
    def of(cls, choice: EncoderChoice) -> Preparation:
        """The preparation for an encoder."""
        return cls(choice.image_size)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Shape: [3, size, size], uint8: a quarter of the memory of open_clip's floats on the way to the tower.

        open_clip's transforms of an image of RGB come to these two calls of PIL (`torchvision.transforms`, `Resize` and
        `CenterCrop`), whose rounding is kept, so that the pixels are the same.
        """
        width, height = image.size
        longer = int(self.size * max(width, height) / min(width, height))
        width, height = (self.size, longer) if width <= height else (longer, self.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = round((width - self.size) / 2.0), round((height - self.size) / 2.0)
        image = image.crop((left, top, left + self.size, top + self.size))
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
