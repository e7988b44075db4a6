"""The share of parameters that the official code trains on T5-small, computed from its layer sizes."""

from __future__ import annotations

from vip5core.config import TrialConfig
from vip5core.vocabulary import ENCODERS

#: Parameters of T5-small with the extra embeddings of VIP5, without adapters and mapping network.
_FROZEN = 61_024_768
_NORMS = 16_384
#: The number of adapters at each position: 6 + 6 layers, cross-attention in the decoder only.
_PLACES = {"self": 12, "cross": 6, "feed_forward": 12}
_WIDTH = 512


def paper_share(config: TrialConfig) -> float | None:
    """The percentage of parameters that the official code trains with these settings; None if it lacks them."""
    if config.backbone.rstrip("/").rpartition("/")[2] != "t5-small":
        return None
    if config.tuning == "full":
        return 100.0
    if config.tuning != "adapter" or config.adapter_sharing != "shared" or not config.uses_images:
        return None
    if config.encoder not in ENCODERS:
        return None
    narrow = _WIDTH // config.reduction_factor
    adapters = sum(_PLACES[place] for place in config.adapter_positions) * (2 * _WIDTH * narrow + narrow + _WIDTH)
    features = ENCODERS[config.encoder].feature_width
    hidden, out = _WIDTH // 2 * config.image_tokens, _WIDTH * config.image_tokens
    mapping = features * hidden + hidden + hidden * out + 2 * out
    return 100.0 * (adapters + mapping + _NORMS) / (_FROZEN + adapters + mapping)


def paper_tuning_costs() -> str:
    """The cost of tuning as reported in the paper."""
    return (
        "The paper reports for Toys (RN101, 1 image token, reduction factor 8, 4 A100): adapters after self-attention "
        "2.97 %, 10.55 min per epoch, 27.4 GB; with cross-attention 3.58 %, 11.10 min, 29.0 GB; full tuning 100 %, "
        "14.08 min, 35.6 GB."
    )
