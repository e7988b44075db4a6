"""Text metrics on words: BLEU by sacrebleu, ROUGE by rouge-score. All in percent.

Both take texts as they are, split at white space. Explanations from reviews are already tokenised into words; in
other texts, such as MovieLens summaries, punctuation stays attached to words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# sacrebleu and rouge-score take a second to import, numpy a fraction, so they are imported only where texts are scored.

T = TypeVar("T")

#: The scored texts whose counts are kept: several metrics are computed from them, of single texts and of all.
_PAIRS = 1 << 15


def on_rows(score: Callable[[Sequence[str], Sequence[str]], T]) -> Callable[[pd.DataFrame], T]:
    """Apply a score of references and texts to per-user rows."""
    return lambda rows: score(rows["reference"].tolist(), rows["prediction"].tolist())


def bleu(references: Sequence[str], texts: Sequence[str], order: int = 4) -> float:
    """Corpus BLEU up to `order`-grams of words, without smoothing (Papineni et al., 2002).

    It is 0 where the official code divides by zero: if all texts are empty, or nothing matches.

    Raises:
        ValueError: if there are no texts.
    """
    from sacrebleu import BLEU

    if not texts:
        raise ValueError("no texts to compare")
    counted = [_sentence_bleu(reference, text) for reference, text in zip(references, texts, strict=True)]
    matches = [sum(row) for row in zip(*[c[1] for c in counted], strict=True)]
    totals = [sum(row) for row in zip(*[c[2] for c in counted], strict=True)]
    length, reference_length = sum(c[3] for c in counted), sum(c[4] for c in counted)
    return BLEU.compute_bleu(matches[:order], totals[:order], length, reference_length, max_ngram_order=order).score


def bleu_characters(references: Sequence[str], texts: Sequence[str], order: int = 4) -> float:
    """BLEU as the official notebook computes it, of which the paper's BLEU figures are.

    The notebook passes strings where lists of words are expected, so its n-grams are of characters, spaces included.
    """
    return bleu([_spell_out(text) for text in references], [_spell_out(text) for text in texts], order)


def _spell_out(text: str) -> str:
    return " ".join(f"{ord(character):x}" for character in text)


def sentence_bleus(references: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """BLEU-4 of each text, smoothed, so that a short text without a common 4-gram is not simply 0. Shape: [texts]."""
    import numpy as np

    return np.array([_sentence_bleu(*pair)[0] for pair in zip(references, texts, strict=True)], dtype=float)


@functools.lru_cache(maxsize=_PAIRS)
def _sentence_bleu(reference: str, text: str) -> tuple[float, list[int], list[int], int, int]:
    """The smoothed BLEU-4 of a text, and what that of a corpus is summed from: matches, n-grams, lengths of both."""
    score = _bleu_scorer().sentence_score(text, [reference])
    return score.score, score.counts, score.totals, score.sys_len, score.ref_len


@functools.cache
def _bleu_scorer() -> Any:
    from sacrebleu import BLEU

    return BLEU(tokenize="none", smooth_method="exp", effective_order=True)


def rouge_of(references: Sequence[str], texts: Sequence[str], name: str) -> np.ndarray:
    """ROUGE F1 of each text (Lin, 2004), of the kind `rouge_1`, `rouge_2` or `rouge_l`. Shape: [texts]."""
    import numpy as np

    pairs = zip(references, texts, strict=True)
    return 100.0 * np.array([_rouge(*pair)[name].fmeasure for pair in pairs], dtype=float)


def mean_rouge(references: Sequence[str], texts: Sequence[str], name: str) -> float:
    """The mean of `rouge_of`.

    Raises:
        ValueError: if there are no texts.
    """
    if not texts:
        raise ValueError("no texts to compare")
    return float(rouge_of(references, texts, name).mean())


@functools.lru_cache(maxsize=_PAIRS)
def _rouge(reference: str, text: str) -> dict[str, Any]:
    """The scores of a text, by name."""
    score = _rouge_scorer().score(reference, text)
    return {"rouge_1": score["rouge1"], "rouge_2": score["rouge2"], "rouge_l": score["rougeL"]}


@functools.cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Words(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return text.split()

    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())
