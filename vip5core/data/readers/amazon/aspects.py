"""Explanations from reviews: the sentence that judges an aspect of the item, and the word for that aspect.

The explanation task of P5 and VIP5 (arXiv 2305.14302) learns to write "the color is vibrant", given the aspect
"color". The paper's pairs come from a phrase-level sentiment tool (Sentires); ours come from corpus statistics, after
Hu & Liu (KDD 2004): frequent nouns next to opinion words. There are two passes over the reviews; neither keeps a text.

1. `AspectCounter` counts the reviews in which a word occurs in one of the following patterns. `w` is the word; in a
   longer noun phrase it is the last one, so that "a great sound quality" counts for "quality".

   - judged: "great w", "too small w", "love the w", "the w is (not) very good";
   - noun: "the w" or "great w", where the noun phrase ends; not a noun: "i w", "to w", "very w", "is w ."

   An aspect is judged in at least `MIN_JUDGED` and sqrt(reviews) / 10 reviews (coincidences grow with the corpus), and
   in at least `MIN_JUDGED_SHARE` of those that mention it; it is a noun in at least `MIN_NOUN_SHARE` of them, and more
   often than not a noun. Singular and plural are counted together, and both are aspects if both occur. Nouns that
   reviews of any product use ("item", "day", "husband": see `aspect_words`) and adverbs in -ly are not aspects.
2. `explanation_of` picks the most specific aspect that a review judges: the one that the fewest reviews mention, and
   the earlier one of equals. Its sentence is the explanation: `MIN_WORDS` to `MAX_WORDS` words (of a longer sentence,
   the clause between commas), not a question, without a web address. If it is none of this, the next aspect is tried.

An explanation is written as by `words_of_review`, so that metrics compare it word by word: in lower case (the paper's
texts are not, but here a capital letter would count as a mismatch), and without punctuation at its ends, which would
match nothing.

The result does not depend on the order of the reviews, and nothing is random. English only: reviews in other languages
have no explanation, because the patterns do not match.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from itertools import repeat

from vip5core.data.readers.amazon import aspect_words
from vip5core.data.readers.amazon.review_words import words_of_review

#: Words of an explanation, without punctuation.
MIN_WORDS, MAX_WORDS = 3, 30
#: Letters of an aspect.
MIN_LETTERS, MAX_LETTERS = 3, 20
#: Reviews that judge an aspect, whatever the size of the corpus.
MIN_JUDGED = 2
#: Share of the reviews with the word that must judge it, and in which it must be used as a noun.
MIN_JUDGED_SHARE, MIN_NOUN_SHARE = 0.015, 0.1

#: A review is read as a string with one letter per word, its class. Words of no class are "w", aspects among them.
_CLASSES = {
    "D": aspect_words.DETERMINERS,
    "C": aspect_words.LINKING_VERBS,
    "S": aspect_words.SUBJECTS,
    "N": aspect_words.NEGATIONS,
    "P": aspect_words.JOINTS,
    "I": aspect_words.DEGREES,
    "J": aspect_words.DESCRIPTIONS,
    "x": aspect_words.OTHER_WORDS,
    "A": aspect_words.OPINIONS,
    "O": aspect_words.OPINION_VERBS,
    "G": aspect_words.GENERIC_NOUNS,
    "T": aspect_words.TITLES,
    ",": ", ; : - ' % $",
    "b": "( )",
    ".": ". !",
    "?": "?",
}
_CLASS_OF = {word: letter for letter, words in _CLASSES.items() for word in words.split()}

#: Punctuation that explanations do not begin or end with.
_MARKS = frozenset(_CLASSES[","].split())
_BRACKETS = frozenset("()")
_UNCOUNTED = _MARKS | _BRACKETS

# Patterns over such strings; group 1 is the noun phrase, whose last word counts. Each starts with a literal letter (a
# look-behind after it says what must precede it), which makes the search several times faster; repetitions are
# bounded, so that no text takes more than linear time.
_NOUN = [
    re.compile(r"D[IAJ]{0,6}[wG]{0,6}(w)(?![wAIJG])"),
    re.compile(r"A(?<![CIN]A)[AJ]{0,6}[wG]{0,6}(w)(?![wAIJG])"),
]
_NO_NOUN = [re.compile(r"S(w)"), re.compile(r"N(w)"), re.compile(r"I(w)(?![wDS])"), re.compile(r"C(w)(?=[.,?P]|$)")]
_JUDGED = [
    re.compile(r"A[IAJG]{0,6}(w{1,6})(?![wAJG])"),
    re.compile(r"IJ[IAJG]{0,6}(w{1,6})(?![wAJG])"),
    re.compile(r"O(?<![Cw]O)D?[IAJG]{0,6}(w{1,6})(?![wAJG])"),  # not after "looks": "looks like a tent"
    re.compile(r"C(?<=(w)C)[NxDJ]{0,6}[AI]"),
]


class AspectCounter:
    """The first pass. Keeps counts and no texts: about 0.2 GB per million distinct words."""

    def __init__(self) -> None:
        self._reviews = 0
        self._mentions: Counter[str] = Counter()
        self._judged: Counter[str] = Counter()
        self._noun: Counter[str] = Counter()
        self._no_noun: Counter[str] = Counter()

    def add(self, text: str) -> None:
        words, classes = _read(text)
        self._reviews += 1
        self._mentions.update(
            {
                word
                for word, letter in zip(words, classes, strict=True)
                if letter == "w" and word.isalpha() and MIN_LETTERS <= len(word) <= MAX_LETTERS
            }
        )
        for counter, patterns in ((self._judged, _JUDGED), (self._noun, _NOUN), (self._no_noun, _NO_NOUN)):
            counter.update({words[match.end(1) - 1] for pattern in patterns for match in pattern.finditer(classes)})

    def aspects(self) -> dict[str, int]:
        """The aspects, most often judged first, with the number of reviews that mention each.

        A word with a plural (or a singular) has the number of the form that more reviews mention.
        """
        least = max(MIN_JUDGED, math.sqrt(self._reviews) / 10)
        judged = {}
        for word in self._judged.keys() & self._mentions.keys():
            if self._is_aspect(word, least):
                judged[word] = self._sum(self._judged, word)
        return {
            word: max(self._mentions[form] for form in self._forms(word))
            for word in sorted(judged, key=lambda word: (-judged[word], word))
        }

    def _is_aspect(self, word: str, least: float) -> bool:
        judged, noun = self._sum(self._judged, word), self._sum(self._noun, word)
        mentions = self._sum(self._mentions, word)
        return (
            judged >= max(least, MIN_JUDGED_SHARE * mentions)
            and noun >= MIN_NOUN_SHARE * mentions
            and noun > self._sum(self._no_noun, word)
            and not word.endswith("ly")
        )

    def _forms(self, word: str) -> list[str]:
        """The word, and its plural and its singular where they occur."""
        singular = [word[:-1]] if word.endswith("s") else []
        return [word, *(form for form in (*singular, word + "s") if form in self._mentions)]

    def _sum(self, counter: Counter[str], word: str) -> int:
        return sum(counter[form] for form in self._forms(word))


def explanation_of(text: str, words: Mapping[str, int]) -> tuple[str, str] | None:
    """The aspect and the explanation of one review; None if it judges none of the aspects.

    Args:
        text: the review as it was written.
        words: the aspects, with the number of reviews that mention each, as given by `AspectCounter.aspects`.
    """
    review, classes = _read(text)
    mentioned = {place for place, word in enumerate(review) if word in words}
    if not mentioned:
        return None
    judged = {
        place
        for pattern in _JUDGED
        for match in pattern.finditer(classes)
        for place in range(*match.span(1))
        if place in mentioned
    }
    for place in sorted(judged, key=lambda place: (words[review[place]], place)):
        sentence = _sentence_around(place, review, classes)
        if sentence:
            return review[place], sentence
    return None


def _read(text: str) -> tuple[list[str], str]:
    """Split a text into words; returns these and the letters of their classes."""
    words = words_of_review(text)
    return words, "".join(map(_CLASS_OF.get, words, repeat("w"))).replace("T.", "Tx")


def _sentence_around(place: int, words: list[str], classes: str) -> str | None:
    """The sentence with the word at `place`, or its clause if that is too long; None if it cannot be an explanation."""
    start, end = _bounds(place, classes, ".?")
    if classes[end : end + 1] == "?":
        return None
    if _length(words[start:end]) > MAX_WORDS:
        start, end = _bounds(place, classes, ".?,")
    sentence = words[start:end]
    if sentence.count("(") != sentence.count(")"):
        sentence = [word for word in sentence if word not in _BRACKETS]
    while sentence[0] in _MARKS:
        del sentence[0]
    while sentence[-1] in _MARKS:
        del sentence[-1]
    written = " ".join(sentence)
    fits = MIN_WORDS <= _length(sentence) <= MAX_WORDS and "http" not in written and "www." not in written
    return written if fits else None


def _bounds(place: int, classes: str, marks: str) -> tuple[int, int]:
    """The start and the end of the words between two of these marks."""
    start = 1 + max(classes.rfind(mark, 0, place) for mark in marks)
    ends = [end for mark in marks if (end := classes.find(mark, place)) >= 0]
    return start, min(ends, default=len(classes))


def _length(sentence: list[str]) -> int:
    """The number of words, without punctuation."""
    return sum(word not in _UNCOUNTED for word in sentence)
