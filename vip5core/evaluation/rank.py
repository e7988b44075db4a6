"""Ranking items with a model: over the trie of allowed items, or by free beams as in the official code.

Shape letters: B users, K beams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from vip5core.data.dataset import Dataset
from vip5core.decoding import BeamOptions, FreeExpansion, StepDecoder, Trie, TrieExpansion, beam_search
from vip5core.prompts import PromptTables, Sample

#: The official search: scored by the mean log-probability per token, stopped at K finished hypotheses.
PAPER_BEAMS = {"length_penalty": 1.0, "early_stopping": True, "max_new_tokens": 49}


def item_trie(tables: PromptTables) -> Trie:
    """The trie of all item ids of a dataset; those of tokens of their own need no `</s>`, for none begins another."""
    return Trie.build(tables.item_ids, range(1, tables.n_items + 1), None if tables.n_id_tokens else tables.eos)


@dataclass(frozen=True)
class RankedList:
    """One user's ranking.

    Attributes:
        items: The ranked items, best first.
        scores: Their scores, higher for better: log-probabilities.
        invalid: The number of beams that name no item of the catalogue.
        duplicates: The number of beams that name an item another beam has named.
    """

    items: list[int]
    scores: list[float]
    invalid: int = 0
    duplicates: int = 0

    def first(self, k: int) -> RankedList:
        """The first k items."""
        return replace(self, items=self.items[:k], scores=self.scores[:k])


class ConstrainedRanker:
    """Beam search over the items that a user may be offered, ranked by their probability: each item once, none invalid.

    Args:
        trie: The trie of the catalogue, on the model's device.
        dataset: The dataset, for the users' histories.
        num_beams: The number of beams, K; with as many as there are items the ranking is exact.
        exclude_history: Whether items of the user's history are left out (candidates of a choice never are).
    """

    def __init__(self, trie: Trie, dataset: Dataset, num_beams: int, exclude_history: bool) -> None:
        self.trie = trie
        self.dataset = dataset
        self.options = BeamOptions(num_beams, max_new_tokens=len(trie.widths))
        self.exclude_history = exclude_history

    def mask_allowed(self, samples: Sequence[Sample], split: str) -> np.ndarray | None:
        """Whether each item may be offered to each user, or None if all may. Shape: [B, items + 1], bool."""
        if samples[0].candidates is None and not self.exclude_history:
            return None
        return np.stack([allowed_items(self.dataset, sample, split, self.exclude_history) for sample in samples])

    def __call__(self, decoder: StepDecoder, samples: Sequence[Sample], split: str) -> list[RankedList]:
        return rank_allowed(decoder, self.trie, self.mask_allowed(samples, split), self.options)


def rank_allowed(
    decoder: StepDecoder, trie: Trie, allowed: np.ndarray | None, options: BeamOptions
) -> list[RankedList]:
    """Each user's most probable items among those that are allowed.

    Args:
        decoder: A new decoder, at position 0.
        trie: The trie of the catalogue, on the decoder's device.
        allowed: Whether each item may be offered to each user, or None if all may. Shape: [B, items + 1], bool.
        options: The number of beams, which is the length of the longest list.
    """
    nodes = trie.open_nodes(torch.from_numpy(allowed).to(decoder.device)) if allowed is not None else None
    found = beam_search(decoder, TrieExpansion(trie, nodes), options)
    items, scores = trie.item[found.nodes].tolist(), found.scores.tolist()
    lengths = (found.nodes > 0).sum(1).tolist()  # hypotheses that are missing come last
    return [RankedList(row[:n], of[:n]) for row, of, n in zip(items, scores, lengths, strict=True)]


class PaperRanker:
    """The official protocol: free beams, read as numbers; invalid and duplicate ones are counted.

    Ids that are tokens of their own are read as the numbers of their items.

    Args:
        tokenizer: The tokenizer that decodes the beams.
        tables: The dataset's ids.
        num_beams: The number of beams, K.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, tables: PromptTables, num_beams: int) -> None:
        self.tokenizer = tokenizer
        self.n_items = tables.n_items
        named = tables.item_ids if tables.n_id_tokens else []
        self._numbers = {tuple(ids.tolist()): str(item) for item, ids in enumerate(named, start=1)}
        self.options = BeamOptions(num_beams, **PAPER_BEAMS)  # type: ignore[arg-type]

    def __call__(self, decoder: StepDecoder, samples: Sequence[Sample], split: str) -> list[RankedList]:
        found = beam_search(decoder, FreeExpansion(), self.options)
        texts = self._as_texts(found.tokens.flatten(0, 1))
        K = self.options.num_beams
        return [self._read(texts[row * K : (row + 1) * K], scores) for row, scores in enumerate(found.scores.tolist())]

    def _as_texts(self, tokens: Tensor) -> list[str]:
        """The numbers of beams; of others their text, or nothing where ids are tokens. Shape: [beams, length]."""
        if not self._numbers:
            return self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        special = set(self.tokenizer.all_special_ids)
        beams = (tuple(token for token in row if token not in special) for row in tokens.tolist())
        return [self._numbers.get(beam, "") for beam in beams]

    def _read(self, texts: list[str], scores: list[float]) -> RankedList:
        """The official ranking of one user's beams, with the numbers of invalid and duplicate ones."""
        pairs = sorted(parse_item_list(texts), key=lambda pair: -pair[1])
        ranked = [item for item, _ in pairs]
        invalid = sum(not self._is_item(text) for text in texts)
        duplicates = len(texts) - invalid - sum(1 <= item <= self.n_items for item in ranked)
        return RankedList(ranked, [scores[-place - 1] for _, place in pairs], invalid, duplicates)

    def _is_item(self, text: str) -> bool:
        try:
            return 1 <= int(text) <= self.n_items
        except ValueError:
            return False


def parse_item_list(generated: Sequence[str]) -> list[tuple[int, int]]:
    """Items and scores of a user's generated strings, best first.

    A string counts if Python's `int` accepts it; its score is minus its place. An item that is generated again gets the
    score of its *last* place, so a repeated target is ranked lower.
    """
    scores: dict[int, int] = {}
    for place, text in enumerate(generated, start=1):
        try:
            scores[int(text)] = -place
        except ValueError:
            continue
    return list(scores.items())


def allowed_items(dataset: Dataset, sample: Sample, split: str, exclude_history: bool) -> np.ndarray:
    """The items that may be offered for `sample`: its candidates, or the catalogue with or without the user's history.

    Shape: [items + 1], bool; entry 0 is False.
    """
    excluded = dataset.before(sample.user, split) if exclude_history else np.empty(0, dtype=int)
    return offered_items(dataset.n_items, sample, excluded)


def offered_items(n_items: int, sample: Sample, excluded: np.ndarray) -> np.ndarray:
    """The items that may be offered for `sample`: its candidates, or the catalogue of `n_items` without `excluded`.

    Shape: [items + 1], bool; entry 0 is False.
    """
    offered = np.zeros(n_items + 1, dtype=bool)
    if sample.candidates is not None:
        offered[sample.candidates] = True
        return offered
    offered[1:] = True
    offered[excluded] = False
    return offered
