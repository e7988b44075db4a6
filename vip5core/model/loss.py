"""The training loss: cross entropy over target tokens, weighted by target length.

Shape letters: B prompts, T target tokens, C target tokens without padding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vip5core.prompts import Batch

#: The power of a target's length by which its summed token loss is divided, by the name of the weighting.
LENGTH_POWERS = {
    "token_mean": 1,  # every prompt has the same weight, however long its target
    "paper": 2,  # the official code divides by the length twice, so long targets have little weight
}


def target_losses(
    logits: Tensor, batches: Sequence[Batch], weighting: str = "token_mean", smoothing: float = 0.0
) -> Tensor:
    """The loss of each prompt; the loss of a training step is their mean.

    Args:
        logits: The logits of the batches' target tokens, as `VIP5.decode` gives them. Shape: [C, V].
        batches: The batches.
        weighting: The weighting by length, as named in `LENGTH_POWERS`.
        smoothing: The share of each target's probability that goes to all tokens alike (Szegedy et al., 2016).

    Returns:
        The losses, batch after batch. Shape: [prompts of all batches].
    """
    labels = torch.cat([batch.labels.flatten()[batch.target_positions] for batch in batches])
    rows, prompts = [], 0
    for batch in batches:
        rows.append(batch.target_positions // batch.labels.shape[1] + prompts)
        prompts += len(batch)
    row = torch.cat(rows)
    nll = F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=smoothing)  # [C]
    sums = nll.new_zeros(prompts).index_add(0, row, nll)
    lengths = torch.bincount(row, minlength=prompts)
    return sums / lengths ** LENGTH_POWERS[weighting]
