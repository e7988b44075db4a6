"""What a model's passes cost, for putting prompts together so that they take the least time.

The figures for CPUs were found by trying on one, and the optimum is flat; those for GPUs are guesses from earlier ones.
"""

from __future__ import annotations

from vip5core.model.vip5 import VIP5
from vip5core.prompts import Capacity, GroupingCosts

#: The cost of another length in a pass, in parameters times tokens: with a small backbone, or on a GPU, a few more
#: calls take as long as many tokens of padding.
_GROUP_WORK = {"cpu": 5e6, "cuda": 1e11}

#: The part of that cost that grows with the model, in tokens.
_GROUP_TOKENS = 10

#: The cost of a number of a mask, in parameters times tokens.
_MASK_WORK = 50.0

#: The most numbers that are kept at a time for the backward pass, about 1 GB and 8 GB.
_KEPT = {"cpu": 2**28, "cuda": 2**31}


def grouping_costs(model: VIP5) -> GroupingCosts:
    """The costs of computing prompts of different lengths together or apart."""
    work = sum(p.numel() for p in model.backbone.encoder.block.parameters())  # that each token is multiplied with
    return GroupingCosts(
        group=_GROUP_TOKENS + _GROUP_WORK[model.device.type] / work,
        masked_pair=_MASK_WORK * model.backbone.config.num_heads / work,
    )


def capacity(model: VIP5) -> Capacity:
    """How many prompts are trained on together: about what their backward pass needs in memory."""
    config = model.backbone.config
    per_layer = 8 * config.d_model + 5 * config.num_heads * config.d_kv + 2 * config.d_ff
    return Capacity(
        limit=_KEPT[model.device.type],
        per_token=config.num_layers * per_layer,
        per_pair=config.num_layers * config.num_heads,
    )
