"""Greedy decoding with a cache, for explanations; users that have finished are dropped from the batch.

Shape letters: B users.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vip5core.decoding.decoder import STEPS_PER_LOOK, StepDecoder


@torch.inference_mode()
def greedy(decoder: StepDecoder, max_new_tokens: int) -> Tensor:
    """The text of the most likely token at each position, up to `</s>`.

    Args:
        decoder: A new decoder, at position 0.
        max_new_tokens: The length of the longest text, `</s>` included.

    Returns:
        The generated ids, padded after `</s>`. Shape: [B, max_new_tokens].
    """
    users, device = decoder.users, decoder.device
    out = torch.full((users, max_new_tokens), decoder.pad_id, device=device)
    active = torch.arange(users, device=device)
    tokens = torch.full((users, 1), decoder.start_id, device=device)
    ended = torch.zeros(users, dtype=torch.bool, device=device)
    for position in range(max_new_tokens):
        tokens = decoder.logits(decoder.step(tokens)).argmax(-1)  # [active, 1]
        out[active, position] = tokens[:, 0].masked_fill(ended, decoder.pad_id)
        ended |= tokens[:, 0] == decoder.eos_id
        if (position + 1) % STEPS_PER_LOOK[device.type] == 0:
            running = (~ended).nonzero().flatten()
            if len(running) == 0:
                break
            if len(running) < len(active):
                decoder.keep(running)
                active, tokens, ended = active[running], tokens[running], ended[running]
    return out
