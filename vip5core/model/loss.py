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
    logits: Tensor,
    batches: Sequence[Batch],
    weighting: str = "token_mean",
    smoothing: float = 0.0,
    item_tokens: Tensor | None = None,
) -> Tensor:
    """The loss of each prompt; the loss of a training step is their mean.

    Args:
        logits: The logits of the batches' target tokens, as `VIP5.decode` gives them. Shape: [C, V].
        batches: The batches.
        weighting: The weighting by length, as named in `LENGTH_POWERS`.
        smoothing: The share of an item token's probability that goes to all item tokens alike: label smoothing
            (Szegedy et al., 2016) among the answers that a ranking knows, which leaves the words of explanations alone.
        item_tokens: The tokens that item ids are made of; without them nothing is smoothed. Shape: [item tokens].

    Returns:
        The losses, batch after batch. Shape: [prompts of all batches].
    """
    labels = torch.cat([batch.labels.flatten()[batch.target_positions] for batch in batches])
    rows, prompts = [], 0
    for batch in batches:
        rows.append(batch.target_positions // batch.labels.shape[1] + prompts)
        prompts += len(batch)
    row = torch.cat(rows)
    logits = logits.float()
    nll = F.cross_entropy(logits, labels, reduction="none")  # [C]
    if smoothing and item_tokens is not None:
        weights = logits.new_zeros(logits.shape[1]).index_fill(0, item_tokens, 1 / len(item_tokens))
        # The mean of -log p over items minus that of the target: the normalizer of the softmax is the same.
        more = logits.gather(1, labels[:, None])[:, 0] - logits @ weights
        nll = nll + smoothing * torch.where(weights[labels] > 0, more, 0)
    sums = nll.new_zeros(prompts).index_add(0, row, nll)
    lengths = torch.bincount(row, minlength=prompts)
    return sums / lengths ** LENGTH_POWERS[weighting]
