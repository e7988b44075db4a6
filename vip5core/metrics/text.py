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


def on_rows(score: Callable[[Sequence[str], Sequence[str]], T]) -> Callable[[pd.DataFrame], T]:
    """Apply a score of references and texts to per-user rows."""
    return lambda rows: score(rows["reference"].tolist(), rows["prediction"].tolist())


def bleu(references: Sequence[str], texts: Sequence[str], order: int = 4) -> float:
    """Corpus BLEU up to `order`-grams of words, without smoothing (Papineni et al., 2002).

    It is 0 where the official code divides by zero: if all texts are empty, or nothing matches.

    Raises:
        ValueError: if there are no texts.
    """
    import sacrebleu

    if not texts:
        raise ValueError("no texts to compare")
    scorer = sacrebleu.BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
    return scorer.corpus_score(list(texts), [list(references)]).score


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
    import sacrebleu

    scores = [
        sacrebleu.sentence_bleu(text, [reference], tokenize="none", smooth_method="exp").score
        for reference, text in zip(references, texts, strict=True)
    ]
    return np.array(scores, dtype=float)


def rouge_of(references: Sequence[str], texts: Sequence[str], name: str) -> np.ndarray:
    """ROUGE F1 of each text (Lin, 2004), of the kind `rouge_1`, `rouge_2` or `rouge_l`. Shape: [texts]."""
    return _rouges(tuple(references), tuple(texts))[name]


def mean_rouge(references: Sequence[str], texts: Sequence[str], name: str) -> float:
    """The mean of `rouge_of`.

    Raises:
        ValueError: if there are no texts.
    """
    if not texts:
        raise ValueError("no texts to compare")
    return float(rouge_of(references, texts, name).mean())


@functools.lru_cache(maxsize=2)
def _rouges(references: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """All three, since they are computed together; kept for the calls that ask for the others."""
    import numpy as np

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
