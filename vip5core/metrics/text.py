"""Text metrics on words: BLEU by sacrebleu, ROUGE by rouge-score. All in percent.

Both take texts as they are, split at white space. Explanations of reviews come tokenised by words already; other
texts, such as MovieLens summaries, keep their punctuation on the words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer


class _Words(Tokenizer):
    def tokenize(self, text: str) -> list[str]:
        return text.split()


_ROUGE = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Words())


def bleu(references: Sequence[str], texts: Sequence[str], order: int = 4) -> float:
    """Corpus BLEU up to `order`-grams of words, without smoothing (Papineni et al., 2002).

    Where the official code divides by zero (nothing was written, or there is nothing to match) this is 0.

    Raises:
        ValueError: without texts.
    """
    if not texts:
        raise ValueError("no texts to compare")
    scorer = sacrebleu.BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
    return scorer.corpus_score(list(texts), [list(references)]).score


def bleu_characters(references: Sequence[str], texts: Sequence[str], order: int = 4) -> float:
    """BLEU as the official notebook computes it: it passes strings where lists of words are meant, so that n-grams
    are of characters, spaces included. The published BLEU figures are this one."""
    return bleu([_as_words(text) for text in references], [_as_words(text) for text in texts], order)


def _as_words(text: str) -> str:
    return " ".join(f"{ord(character):x}" for character in text)


def sentence_bleu(reference: str, text: str) -> float:
    """BLEU-4 of one text, smoothed, so that a short text without a common 4-gram is not simply 0."""
    return sacrebleu.sentence_bleu(text, [reference], tokenize="none", smooth_method="exp").score


def rouge(references: Sequence[str], texts: Sequence[str]) -> dict[str, np.ndarray]:
    """ROUGE-1, ROUGE-2 and ROUGE-L (F1) of each text (Lin, 2004). Shape of each: [texts]."""
    scores = [_ROUGE.score(reference, text) for reference, text in zip(references, texts, strict=True)]
    return {
        name: 100.0 * np.array([score[key].fmeasure for score in scores])
        for name, key in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL"))
    }


def text_metrics(references: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
    """BLEU-1 and -4, ROUGE-1, -2 and -L, and the official character BLEU-4.

    Raises:
        ValueError: without texts.
    """
    return {
        "bleu_1": bleu(references, texts, 1),
        "bleu_4": bleu(references, texts, 4),
        **{name: float(values.mean()) for name, values in rouge(references, texts).items()},
        "bleu_4_characters": bleu_characters(references, texts, 4),
    }
