"""Explanations from reviews: which words are aspects, which sentence explains them, and that no text breaks this."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vip5core.data.build import clean_text
from vip5core.data.readers.amazon import aspect_words
from vip5core.data.readers.amazon.aspects import AspectCounter, explanation_of
from vip5core.data.readers.amazon.review_words import words_of_review

REVIEWS = [
    "The battery is great. I love it very much!",
    "My husband says the battery lasts really long. He loves it.",
    "Great battery, and the colors are vibrant.",
    "I love the color. We wear it every Monday.",
    "The color looks nice on my wife, a very sturdy product.",
    "What a great day! Great product, the item is good.",
    "It smells good. The smell is too strong.",
    "I hate the smell; really awful smell.",
    "They charge it daily, we charge it weekly. You charge a phone with it.",
]
WORDS = {"battery": 3, "life": 30, "color": 50, "screen": 20, "price": 10, "size": 40}


def aspects_of(reviews: Iterable[str]) -> dict[str, int]:
    counter = AspectCounter()
    for review in reviews:
        counter.add(review)
    return counter.aspects()


def test_aspects_are_nouns_that_reviews_judge_with_the_number_of_reviews_that_mention_them() -> None:
    assert aspects_of(REVIEWS) == {"battery": 3, "color": 2, "colors": 2, "smell": 2}


def test_a_review_counts_once_however_often_it_says_a_word() -> None:
    assert aspects_of(["The strap is good, the strap is great, a lovely strap!"]) == {}


@pytest.mark.parametrize(
    "review",
    [
        "I love this product, a great product. The product is good.",
        "My husband is happy. A great husband. I love my husband.",
        "The christmas was great, a lovely christmas.",
        "Great day! The day was perfect. Love the day.",
        "It is great surely. The surely is good. I love the surely.",
        "They are nice. This is great. I love him. Very good.",
        "I love to wear it, to wear is great, you wear it, we wear it, nice wear.",
    ],
)
def test_verbs_people_days_adverbs_and_nouns_that_any_product_has_are_no_aspects(review: str) -> None:
    assert aspects_of([review] * 3) == {}


def test_two_reviews_suffice_in_a_small_corpus_and_are_a_coincidence_in_a_large_one() -> None:
    judged = ["The hinge is great."] * 2
    assert "hinge" in aspects_of([*judged, *["It works."] * 100])
    assert "hinge" not in aspects_of([*judged, *["It works."] * 1000])


def test_a_word_that_is_hardly_ever_judged_or_rarely_a_noun_is_no_aspect() -> None:
    judged = ["The office is great."] * 2
    assert "office" in aspects_of([*judged, *["We use the office a lot."] * 100])
    assert "office" not in aspects_of([*judged, *["We use the office a lot."] * 150])
    assert "office" not in aspects_of([*judged, *["Bought at office depot."] * 30])


def test_singular_and_plural_share_their_counts_only_where_both_occur() -> None:
    assert aspects_of(["The strap is good.", "The straps are good."]) == {"strap": 1, "straps": 1}
    assert aspects_of(["The lens is good.", "I love the lens."]) == {"lens": 2}
    assert aspects_of(["The strap is good.", "The buckle is good."]) == {}


def test_aspects_do_not_depend_on_the_order_of_the_reviews() -> None:
    expected = list(aspects_of(REVIEWS).items())
    for seed in range(10):
        shuffled = random.Random(seed).sample(REVIEWS, len(REVIEWS))
        assert list(aspects_of(shuffled).items()) == expected


@pytest.mark.parametrize(
    ("review", "aspect", "sentence"),
    [
        ("Bought it in May. The battery is great! Thanks.", "battery", "the battery is great"),
        ("I LOVE the Color.", "color", "i love the color"),
        ("Love the color", "color", "love the color"),
        ("A very nice little screen for me.", "screen", "a very nice little screen for me"),
        ("The size is not very good.", "size", "the size is not very good"),
        ("Too small size for me.", "size", "too small size for me"),
        # of what is judged, the word that the fewest reviews mention; then the first
        ("I love the color. The battery is great. Nice price!", "battery", "the battery is great"),
        ("I love the color. The battery came later. Nice fair price!", "price", "nice fair price"),
        ("Great battery life here.", "battery", "great battery life here"),
        ("The price is good. The price is bad.", "price", "the price is good"),
        # sentences of the wrong length, questions and links are passed over
        ("Great battery! I love the color.", "color", "i love the color"),
        ("Who needs a great battery here? I love the color.", "color", "i love the color"),
        ("See www.x.com, the battery is great. I love the color.", "color", "i love the color"),
        ("Https://x.com/a says the battery is great! I love the color.", "color", "i love the color"),
        # where sentences end
        (
            "I paid $25.00 for 3.5 lbs and the price is good.",
            "price",
            "i paid $25.00 for 3.5 lbs and the price is good",
        ),
        ("It has color.The battery is great.I like it.", "battery", "the battery is great"),
        ("Well...the battery is great!!! Really", "battery", "the battery is great"),
        (
            "For Mr. Smith, e.g. at work, the price is fair.",
            "price",
            "for mr . smith , e.g. at work , the price is fair",
        ),
        ("So glad :) The battery is great :D", "battery", "the battery is great"),
        ("First line\nThe battery is great\nlast line", "battery", "the battery is great"),
        # markup, marks and other characters
        ("Wow<br />The battery is &quot;great&quot; &amp; cheap<br/>Yes", "battery", "the battery is great & cheap"),
        ("[[VIDEOID:mo3A5b]] The battery is <b>great</b>.", "battery", "the battery is great"),
        ("\u201cThe battery\u2019s price is great\u201d 😀", "price", "the battery's price is great"),
        ("- the *battery* is\x00 great -- really", "battery", "the battery is great - really"),
        ("The price is great (mine was $5).", "price", "the price is great ( mine was $5 )"),
        ("'The battery' is great -", "battery", "the battery is great"),
        ("It arrived (the price is great. It has no color).", "price", "it arrived the price is great"),
    ],
)
def test_the_sentence_that_judges_the_most_specific_aspect_explains(review: str, aspect: str, sentence: str) -> None:
    assert explanation_of(review, WORDS) == (aspect, sentence)


@pytest.mark.parametrize(
    "review",
    ["", "...!?", "Great battery!", "I bought a battery.", "Is the battery great?", "It looks like a battery to me."],
)
def test_a_review_that_judges_no_aspect_in_a_whole_sentence_has_no_explanation(review: str) -> None:
    assert explanation_of(review, WORDS) is None


def test_a_number_of_a_character_that_python_rejects_to_read_is_left_as_it_is() -> None:
    review = f"The battery is great. &#{'9' * 5000};"
    assert explanation_of(review, WORDS) == ("battery", "the battery is great")


def test_a_sentence_that_is_too_long_gives_its_clause_if_that_is_short_enough() -> None:
    longest = "the battery is great" + " and so on" * 8 + " or not"
    assert explanation_of(longest, WORDS) == ("battery", longest)
    assert explanation_of(f"{longest} really", WORDS) is None
    assert explanation_of(f"It came, {longest}, as I said.", WORDS) == ("battery", longest)


PHRASES = ["The battery is great", "i love the color", "nice price", "too small size", "the price (new) is fair", "Mr."]
MARKUP = [
    *"(.?'\n)",
    "!!",
    ", ",
    "- ",
    "--",
    ":)",
    "$3.50",
    "&quot;",
    "<br>",
    "<b",
    "[[ASIN:x",
    "]]",
    "www.",
    "İ",
    "ﬁt",
]
PIECES = st.sampled_from(PHRASES) | st.sampled_from(MARKUP) | st.text(max_size=8) | st.just(" ")
TEXTS = st.lists(PIECES, max_size=30).map("".join)


def without_brackets(words: list[str]) -> str:
    return " ".join(word for word in words if word not in "()")


@given(st.text() | TEXTS)
def test_no_text_raises_and_every_explanation_is_a_whole_piece_of_its_review(text: str) -> None:
    AspectCounter().add(text)
    found = explanation_of(text, WORDS)
    if found is None:
        return
    aspect, sentence = found
    words = sentence.split(" ")
    assert aspect in WORDS
    assert aspect in words
    assert f" {without_brackets(words)} " in f" {without_brackets(words_of_review(text))} "
    assert 3 <= len([word for word in words if word not in ",;:()'%$-"]) <= 30
    assert "?" not in words
    assert clean_text(sentence) == sentence  # what the builder stores


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_ascii_texts_are_read_as_all_others_are(text: str) -> None:
    assert [*words_of_review(text), "é"] == words_of_review(text + " é")


HOSTILE = ["a", " ", ".", "a.", "<", "<a", "&", "&#9", "&a", "[[", "[[ASIN:a", "a-", "'", "(", "the ", "great ", "!?"]


@pytest.mark.parametrize(
    "piece", [*HOSTILE, "battery ", "i love ", "very small ", "\u0301", "é.", "漢字", "\x00", "\n"]
)
def test_a_hostile_megabyte_takes_no_time(piece: str) -> None:
    text = "the battery is great " + piece * (1_000_000 // len(piece))
    begun = time.process_time()
    AspectCounter().add(text)
    explanation_of(text, WORDS)
    assert time.process_time() - begun < 0.3


def test_no_word_is_in_two_lists() -> None:
    lists = {name: set(words.split()) for name, words in vars(aspect_words).items() if name.isupper()}
    assert len(lists) > 5
    for one, other in itertools.combinations(lists, 2):
        assert not lists[one] & lists[other], f"{one} and {other}"


def find_explanations(texts: list[str]) -> tuple[dict[str, int], float]:
    """The aspects of a corpus, and the share of its reviews with an explanation."""
    words = aspects_of(texts)
    return words, sum(explanation_of(text, words) is not None for text in texts) / len(texts)


def test_real_gift_card_reviews(real_data: Path) -> None:
    with gzip.open(real_data / "amazon2018-gift-cards" / "Gift_Cards_5.json.gz") as file:
        texts = [json.loads(line).get("reviewText") or "" for line in file]
    words, share = find_explanations(texts)
    assert list(words)[:5] == ["gift", "gifts", "card", "cards", "food"]
    assert {"delivery", "box", "design", "price", "packaging", "service"} <= words.keys()
    assert 0.20 < share < 0.27  # most reviews are a word or two: "Great gift"


def test_fifty_real_reviews_of_instruments(real_data: Path) -> None:
    lines = (real_data / "amazon2014-samples" / "reviews_Musical_Instruments_50rows.json").read_text("utf-8")
    words, share = find_explanations([json.loads(line)["reviewText"] for line in lines.splitlines()])
    assert {"cable", "price", "quality", "cord"} <= words.keys()
    assert len(words) < 20
    assert 0.4 < share < 0.6
