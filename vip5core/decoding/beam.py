"""Beam search, as `transformers` defines it, over a trie or over the whole vocabulary.

At each step the 2K best continuations of a user are considered. Those that end (in `</s>`, or in an id that needs
none) and are among the first K join the finished hypotheses, scored by
sum of log-probabilities / (generated tokens) ** length penalty; the best K others continue.
`tests/core/decoding/test_beam.py` compares the results with `generate` of transformers and the official code.

Shape letters: B users, K beams, C continuations of a beam, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from vip5core.decoding.decoder import STEPS_PER_LOOK, StepDecoder
from vip5core.decoding.trie import Trie

IMPOSSIBLE = float("-inf")


@dataclass(frozen=True)
class BeamOptions:
    """Options of the search, with the names and meanings of `transformers`' generation config.

    Attributes:
        num_beams: The number of beams, K.
        length_penalty: The exponent of the length: 0 ranks by probability, 1 by mean log-probability per token.
        early_stopping: Whether to stop once K hypotheses are finished, or only when no running one can beat them.
        max_new_tokens: The length of the longest hypothesis, `</s>` included.
    """

    num_beams: int = 20
    length_penalty: float = 0.0
    early_stopping: bool = False
    max_new_tokens: int = 50


@dataclass
class Hypotheses:
    """The finished hypotheses of each user, best first.

    Attributes:
        tokens: The generated ids with `</s>`, then padding. Shape: [B, K, length].
        scores: The scores; -inf where a user has fewer than K hypotheses. Shape: [B, K].
        nodes: The final state of the expansion (a trie leaf); 0 where there is none. Shape: [B, K].
    """

    tokens: Tensor
    scores: Tensor
    nodes: Tensor


class Continuations(NamedTuple):
    """What may follow each beam. Shape of each: [B, K, C].

    Attributes:
        tokens: The next token.
        scores: Its log-probability.
        nodes: The expansion's state after it.
        ends: Whether nothing may follow it.
    """

    tokens: Tensor
    scores: Tensor
    nodes: Tensor
    ends: Tensor


class Expansion(Protocol):
    """The tokens that may follow, and their probabilities."""

    def __call__(self, decoder: StepDecoder, states: Tensor, nodes: Tensor) -> Continuations:
        """The continuations of each beam.

        Args:
            decoder: The decoder, for the output head and the position.
            states: The decoder states. Shape: [B, K, D].
            nodes: The expansion's state of each beam. Shape: [B, K].
        """
        ...


class TrieExpansion:
    """Only tokens that lead to an item.

    Args:
        trie: The trie of the catalogue.
        open_nodes: Whether each user may enter each node (`Trie.open_nodes`), or None for all. Shape: [B, nodes].
    """

    def __init__(self, trie: Trie, open_nodes: Tensor | None = None) -> None:
        self.trie = trie
        self.open_nodes = open_nodes

    def __call__(self, decoder: StepDecoder, states: Tensor, nodes: Tensor) -> Continuations:
        trie = self.trie
        width = trie.widths[min(decoder.position, len(trie.widths)) - 1]
        places = torch.arange(width, device=nodes.device)
        exists = places < trie.n_children[nodes][..., None]  # [B, K, C]
        children = torch.where(exists, trie.first_child[nodes][..., None] + places, 0)
        if self.open_nodes is not None:
            exists &= self.open_nodes.gather(1, children.flatten(1)).view_as(children)
        tokens = trie.token[children]
        scores = decoder.log_probabilities_of(states, tokens)
        return Continuations(tokens, scores.masked_fill(~exists, IMPOSSIBLE), children, trie.item[children] > 0)


class FreeExpansion:
    """Any token, as in the official protocol, whose hypotheses need not be items."""

    def __call__(self, decoder: StepDecoder, states: Tensor, nodes: Tensor) -> Continuations:
        scores = decoder.logits(states).log_softmax(-1)  # [B, K, V]
        tokens = torch.arange(scores.shape[-1], device=scores.device).expand_as(scores)
        return Continuations(tokens, scores, torch.zeros_like(tokens), tokens == decoder.eos_id)


@torch.inference_mode()
def beam_search(decoder: StepDecoder, expansion: Expansion, options: BeamOptions) -> Hypotheses:
    """The best finished hypotheses of every user.

    Args:
        decoder: A new decoder, at position 0.
        expansion: Gives the tokens that may follow.
        options: The number of beams, the scoring and when to stop.
    """
    users, device = decoder.users, decoder.device
    K, penalty = options.num_beams, options.length_penalty

    tokens = torch.full((users, 1), decoder.start_id, device=device)  # last token of each beam
    nodes = torch.zeros((users, 1), dtype=torch.long, device=device)
    running = torch.zeros((users, 1), device=device)  # summed log-probabilities; a single beam at first
    past = torch.empty((users, 1, 0), dtype=torch.long, device=device)  # [B, K, generated]
    done = Hypotheses(
        tokens=torch.full((users, K, options.max_new_tokens), decoder.pad_id, device=device),
        scores=torch.full((users, K), IMPOSSIBLE, device=device),
        nodes=torch.zeros((users, K), dtype=torch.long, device=device),
    )
    open_users = torch.ones((users, 1), dtype=torch.bool, device=device)

    for length in range(1, options.max_new_tokens + 1):
        states = decoder.step(tokens)
        found = expansion(decoder, states, nodes)  # [B, k, C] each
        width = found.tokens.shape[-1]
        total = (running[..., None] + found.scores).flatten(1)  # [B, k * C]
        best, places = total.topk(min(2 * K, total.shape[1]))  # [B, 2K]
        beams = places // width
        choice, below, ends = (each.flatten(1).gather(1, places) for each in (found.tokens, found.nodes, found.ends))
        sequences = torch.cat([past.gather(1, beams[..., None].expand(-1, -1, past.shape[2])), choice[..., None]], 2)

        ends |= length == options.max_new_tokens
        among_first = torch.arange(best.shape[1], device=device) < K
        finished = torch.where(ends & among_first & open_users, best / length**penalty, IMPOSSIBLE)
        _merge(done, sequences, finished, below)

        running, kept = torch.where(ends, IMPOSSIBLE, best).topk(min(K, best.shape[1]))
        worst = done.scores.min(1, keepdim=True).values
        full = worst > IMPOSSIBLE
        hopeless = full & (options.early_stopping | (running[:, :1] / length**penalty <= worst))
        open_users &= ~hopeless & (running[:, :1] > IMPOSSIBLE)
        if penalty == 0:  # sums of log-probabilities only fall: one that is not above the worst of K never will be
            running = running.masked_fill(full & (running <= worst), IMPOSSIBLE)
        running = running.masked_fill(~open_users, IMPOSSIBLE)
        if length % STEPS_PER_LOOK[device.type] == 0:
            alive = int((running > IMPOSSIBLE).sum(1).max())  # the most beams of any user that can still finish
            if alive == 0:
                break
            running, kept = running[:, :alive], kept[:, :alive]
        tokens, nodes = choice.gather(1, kept), below.gather(1, kept)
        past = sequences.gather(1, kept[..., None].expand(-1, -1, sequences.shape[2]))
        decoder.follow(beams.gather(1, kept))
    return done


def _merge(done: Hypotheses, sequences: Tensor, scores: Tensor, nodes: Tensor) -> None:
    """Add newly finished hypotheses to the finished ones, keeping the best K."""
    K, length = done.scores.shape[1], sequences.shape[2]
    padded = done.tokens.new_full((*sequences.shape[:2], done.tokens.shape[2]), 0)
    padded[:, :, :length] = sequences
    done.scores, kept = torch.cat([done.scores, scores], 1).topk(K)
    done.nodes = torch.cat([done.nodes, nodes], 1).gather(1, kept)
    done.nodes = done.nodes.masked_fill(done.scores == IMPOSSIBLE, 0)
    tokens = torch.cat([done.tokens, padded], 1)
    done.tokens = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[2]))
