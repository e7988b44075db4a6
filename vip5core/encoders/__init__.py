"""Visual encoders: those of the paper, and any of open_clip, timm, transformers or of the user's own."""

from vip5core.encoders.choice import EncoderChoice, load_encoder
from vip5core.encoders.images import UnreadableImage, decode_image, open_image
from vip5core.encoders.open_clip_models import open_clip_names
from vip5core.encoders.own_features import OwnFeatures
from vip5core.encoders.preparation import Preparation
from vip5core.encoders.preprocessing import Geometry, Preprocessing
from vip5core.encoders.source import Outline
from vip5core.encoders.texts import encode_texts, text_model_identity
from vip5core.encoders.timm_models import timm_names

__all__ = [
    "EncoderChoice",
    "Geometry",
    "Outline",
    "OwnFeatures",
    "Preparation",
    "Preprocessing",
    "UnreadableImage",
    "decode_image",
    "encode_texts",
    "load_encoder",
    "open_clip_names",
    "open_image",
    "text_model_identity",
    "timm_names",
]
