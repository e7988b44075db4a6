"""A T5's own passes, written for speed: its layers over several batches at once, and the operations they consist of."""

from vip5core.t5.layers import (
    head_scale,
    hide_padding,
    norm,
    pad_together,
    position_bias,
    project,
    run_decoder,
    run_encoder,
)
from vip5core.t5.operations import add_dropped, attend, dropout, relu_dropped, rms_norm

__all__ = [
    "add_dropped",
    "attend",
    "dropout",
    "head_scale",
    "hide_padding",
    "norm",
    "pad_together",
    "position_bias",
    "project",
    "relu_dropped",
    "rms_norm",
    "run_decoder",
    "run_encoder",
]
