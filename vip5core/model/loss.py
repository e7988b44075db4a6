"""The training loss: cross entropy over target tokens, weighted by target length.

Shape letters: B prompts, T target tokens, V vocabulary.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from vip5core.prompts import IGNORED

#: The power of a target's length by which its summed token loss is divided, by the name of the weighting.
LENGTH_POWERS = {
    "token_mean": 1,  # every prompt has the same weight, however long its target
    "paper": 2,  # the official code divides by the length twice, so long targets have little weight
}


def target_losses(logits: Tensor, labels: Tensor, weighting: str = "token_mean") -> Tensor:
    """The loss of each prompt; the loss of a batch is their mean.

    Args:
        logits: The logits of the target tokens. Shape: [B, T, V].
        labels: The target ids, `IGNORED` at padding. Shape: [B, T].
        weighting: The weighting by length, as named in `LENGTH_POWERS`.

    Returns:
        The losses. Shape: [B].
    """
    nll = F.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(labels)  # [B, T], 0 at padding
    lengths = (labels != IGNORED).sum(1).clamp(min=1)
    return nll.sum(1) / lengths ** LENGTH_POWERS[weighting]
