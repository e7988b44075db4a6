"""Visual encoders: CLIP image towers by open_clip, and tiny encoders of the same architectures."""

from vip5core.encoders.images import UnreadableImage, decode_image, open_image
from vip5core.encoders.preparation import Preparation
from vip5core.encoders.zoo import EncoderChoice, load_encoder

__all__ = [
    "EncoderChoice",
    "Preparation",
    "UnreadableImage",
    "decode_image",
    "load_encoder",
    "open_image",
]
