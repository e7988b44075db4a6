"""Decoding: the item trie, beam search over it, free beams as in the official protocol, and greedy texts."""

from vip5core.decoding.beam import BeamOptions, FreeExpansion, Hypotheses, TrieExpansion, beam_search
from vip5core.decoding.decoder import STEPS_PER_LOOK, StepDecoder
from vip5core.decoding.greedy import greedy
from vip5core.decoding.trie import Trie

__all__ = [
    "STEPS_PER_LOOK",
    "BeamOptions",
    "FreeExpansion",
    "Hypotheses",
    "StepDecoder",
    "Trie",
    "TrieExpansion",
    "beam_search",
    "greedy",
]
