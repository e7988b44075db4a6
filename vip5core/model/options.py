"""The choices that make a VIP5 model out of a backbone and features."""

from __future__ import annotations

from dataclasses import dataclass

from vip5core.model.adapters import POSITIONS, SHARED


@dataclass(frozen=True)
class ModelOptions:
    """What is put on the backbone, and what of it trains.

    Attributes:
        tuning: a name in `vip5core.model.tuning.TUNING_METHODS`.
        image_tokens: tokens per picture; 0 makes a text-only model.
        mapping_norm: the norm that closes the mapping network.
        reduction_factor: backbone width / adapter width.
        adapter_positions: names in `POSITIONS`.
        adapter_tasks: one adapter for each, or `(SHARED,)` for one that serves all.
        adapter_start: `identity`, or `published`: PyTorch's default initialisation of the up-projection.
        extra_embeddings: `frozen` (published) or `trained`: the whole-word and category embeddings.
        lora_rank: rank of LoRA's updates.
    """

    tuning: str = "adapter"
    image_tokens: int = 2
    mapping_norm: bool = True
    reduction_factor: int = 8
    adapter_positions: tuple[str, ...] = tuple(POSITIONS)
    adapter_tasks: tuple[str, ...] = (SHARED,)
    adapter_start: str = "identity"
    extra_embeddings: str = "frozen"
    lora_rank: int = 8
