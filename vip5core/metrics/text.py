"""Text metrics on words: BLEU by sacrebleu, ROUGE by rouge-score. All in percent.

Both take texts as they are, split at white space. Explanations of reviews come tokenised by words already; other
texts, such as MovieLens summaries, keep their punctuation on the words.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# sacrebleu and rouge-score are imported where texts are scored: they take a second, and metrics are named without them.

T = TypeVar("T")


def on_rows(score: Callable[[Sequence[str], Sequence[str]], T]) -> Callable[[pd.DataFrame], T]:
    """A score of references and texts as one of per-user rows."""
    return lambda rows: score(rows["reference"].tolist(), rows["prediction"].tolist())


def bleu(references: Sequence[str], texts: Sequence[str], order: int = 4) -> float:
    """Corpus BLEU up to `order`-grams of words, without smoothing (Papineni et al., 2002).

    Where the official code divides by zero (nothing was written, or there is nothing to match) this is 0.

    Raises:
        ValueError: without texts.
    """
    import sacrebleu

    if not texts:
        raise ValueError("no texts to compare")
    scorer = sacrebleu.BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
    return scorer.corpus_score(list(texts), [list(references)]).score


def bleu_characters(references: Sequence[str], texts: Sequence[str], order: int = 4) -> float:
    """BLEU as the official notebook computes it: it passes strings where lists of words are meant, so that n-grams
    are of characters, spaces included. The paper's BLEU figures are this one."""
    return bleu([_as_words(text) for text in references], [_as_words(text) for text in texts], order)


def _as_words(text: str) -> str:
    return " ".join(f"{ord(character):x}" for character in text)


def sentence_bleus(references: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """BLEU-4 of each text, smoothed, so that a short text without a common 4-gram is not simply 0. Shape: [texts]."""
    import sacrebleu

    scores = [
        sacrebleu.sentence_bleu(text, [reference], tokenize="none", smooth_method="exp").score
        for reference, text in zip(references, texts, strict=True)
    ]
    return np.array(scores, dtype=float)


def rouge_of(references: Sequence[str], texts: Sequence[str], name: str) -> np.ndarray:
    """ROUGE-1, -2 or -L (F1) of each text (Lin, 2004), by the name `rouge_1`, `rouge_2` or `rouge_l`. Shape: [texts]."""
    return _rouges(tuple(references), tuple(texts))[name]


def mean_rouge(references: Sequence[str], texts: Sequence[str], name: str) -> float:
    """The mean of `rouge_of`.

    Raises:
        ValueError: without texts.
    """
    if not texts:
        raise ValueError("no texts to compare")
    return float(rouge_of(references, texts, name).mean())


@functools.lru_cache(maxsize=2)
def _rouges(references: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """All three at once, which is how they are computed, kept for who asks for the next of them."""
    scores = [_rouge_scorer().score(reference, text) for reference, text in zip(references, texts, strict=True)]
    return {
        name: 100.0 * np.array([score[key].fmeasure for score in scores])
        for name, key in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL"))
    }


@functools.cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Words(Tokenizer):
        def tokenize(self, text: str) -> list[str]:
            return text.split()

    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())
