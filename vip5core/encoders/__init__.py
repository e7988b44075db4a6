"""Visual encoders: CLIP image towers by open_clip, and tiny twins of them."""

from vip5core.encoders.images import UnreadableImage, open_image
from vip5core.encoders.zoo import ENCODERS, Encoder, EncoderChoice, Preparation, load_encoder

__all__ = ["ENCODERS", "Encoder", "EncoderChoice", "Preparation", "UnreadableImage", "load_encoder", "open_image"]
