"""The names that users choose among and the sizes that several modules share; imports nothing that takes time.

The implementations are in tables elsewhere (`TUNING_METHODS`, `WINDOWS`, …); tests check that the names agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Task = Literal["sequential", "direct", "explanation"]
TASKS: tuple[Task, ...] = get_args(Task)
#: Tasks that end in a ranked list of items; the third ends in a text.
RANKING_TASKS: tuple[Task, ...] = ("sequential", "direct")

SPLITS = ("train", "valid", "test")
#: The splits whose items are asked for.
HELD_OUT = ("valid", "test")

#: What is held out: the last two interactions of each user, or all after two points in time.
SplitScheme = Literal["leave-one-out", "time"]
SPLIT_SCHEMES: tuple[SplitScheme, ...] = get_args(SplitScheme)

#: The order of a user's interactions at the same time: seeded, or that of the source's file.
Ties = Literal["shuffle", "file"]
TIES: tuple[Ties, ...] = get_args(Ties)

#: The choice of the paper's authors, wherever a setting offers it beside our own.
PAPER = "paper"
#: Item ids and image features that came with a source, instead of being made here.
PROVIDED: Literal["provided"] = "provided"

IdScheme = Literal[
    "random",
    "sequential",
    "collaborative",
    "independent",
    "collaborative+independent",
    "semantic:text",
    "semantic:image",
    "provided",
]
ID_SCHEMES: tuple[IdScheme, ...] = get_args(IdScheme)
#: Schemes whose ids are made of what an item looks like or says; an encoder may follow their names.
SEMANTIC_ID_SCHEMES: tuple[IdScheme, ...] = ("semantic:text", "semantic:image")
#: Schemes whose numbers may reveal the held-out items.
LEAKY_ID_SCHEMES: tuple[IdScheme, ...] = (PROVIDED,)

Baseline = Literal["popularity", "random", "sasrec"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)

Sampler = Literal["tpe", "random", "grid"]
SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)

#: The visual encoder and its weights, where none is named.
DEFAULT_ENCODER, DEFAULT_ENCODER_WEIGHTS = "ViT-B/32", "openai"

#: What of an item's pictures makes its feature.
ItemImages = Literal["first", "mean"]

Tuning = Literal["adapter", "full", "frozen", "lora", "ia3"]
AdapterPosition = Literal["self", "cross", "feed_forward"]
ADAPTER_POSITIONS: tuple[AdapterPosition, ...] = get_args(AdapterPosition)
#: The name of an adapter that serves all tasks.
SHARED = "shared"

#: How much less an item of a history counts than the next newer one, where newer ones count more: then about the last
#: ten count.
FADING = 0.9

TINY = "tiny"
#: The built-in backbones and their sizes; the second one is for studies of size.
BUILT_IN: dict[str, dict[str, int]] = {
    TINY: {"d_model": 64, "d_kv": 16, "d_ff": 256, "num_heads": 4},
    "mini": {"d_model": 128, "d_kv": 16, "d_ff": 512, "num_heads": 8},
}

#: One positive and 99 negatives, as in the paper. The official code draws new negatives at every access, even in
#: testing, so no two of its evaluations rank the same lists.
CANDIDATES = 100

#: A text field longer than this is cut, so that it cannot push the instruction out of a prompt.
MAX_FIELD_TOKENS = 128


@dataclass(frozen=True)
class EncoderSpec:
    """One visual encoder of the paper.

    Attributes:
        name: Its name in the paper.
        architecture: The name of OpenAI's model in open_clip.
        file: The name of OpenAI's weights file.
        feature_width: The width of an image feature.
        image_size: The side of the images that it reads, in pixels.
    """

    name: str
    architecture: str
    file: str
    feature_width: int
    image_size: int = 224


ENCODERS = {
    spec.name: spec
    for spec in (
        EncoderSpec("RN50", "RN50-quickgelu", "RN50.pt", 1024),
        EncoderSpec("RN101", "RN101-quickgelu", "RN101.pt", 512),
        EncoderSpec("ViT-B/32", "ViT-B-32-quickgelu", "ViT-B-32.pt", 512),
        EncoderSpec("ViT-B/16", "ViT-B-16-quickgelu", "ViT-B-16.pt", 512),
        EncoderSpec("ViT-L/14", "ViT-L-14-quickgelu", "ViT-L-14.pt", 768),
    )
}
