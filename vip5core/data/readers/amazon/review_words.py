"""Splits a review into words: markup decoded, lower case, punctuation apart, odd characters removed."""

from __future__ import annotations

import html
import re
import unicodedata

#: Characters of a text that are read; the rest of a longer one is ignored.
MAX_CHARACTERS = 20_000

# Every repetition is bounded or cannot overlap what follows it, so that no text takes more than linear time.
_ENTITY = re.compile(r"&(?:#\d{1,6}|#[xX][0-9a-fA-F]{1,5}|[a-zA-Z]\w{1,31});")
_LINE_BREAK = re.compile(r"</?(?:br|p|li|div)\b[^<>]{0,100}>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,300}>")
_EMBEDDED = re.compile(r"\[\[(?:VIDEOID|ASIN):[\w-]{1,64}|\]\]", re.IGNORECASE)
_SMILEY = re.compile(r"[:;=]-?[()DP](?!\w)")
#: The end of a sentence: in "affordable.I did" and "well...it", not in "$25.00", "amazon.com" or "e.g.".
_FULL_STOP = re.compile(r"\.(?:\.+|(?<!\b[A-Za-z]\.)(?![a-z0-9]))")
#: Neither words nor punctuation that a T5 vocabulary has; quotation marks are among them.
_ODD = re.compile(r"[^\w\s.,!?;:()'&%$/-]|_")
#: The same for ASCII texts, six times as fast.
_ODD_IN_ASCII = bytes(ord(" ") if _ODD.match(chr(code)) else code for code in range(128)).ljust(256)


def words_of_review(text: str) -> list[str]:
    """The words and punctuation marks in the first `MAX_CHARACTERS` of a text, in order.

    HTML entities are decoded; tags, Amazon's `[[VIDEOID:...]]`, emoji, quotation marks and control characters are
    removed. Each of `. , ! ? ; : ( )` is a token of its own, and so is a dash; a line break and a smiley become a full
    stop. Contractions ("don't"), hyphenated words, decimals and prices are one word.
    """
    text = text[:MAX_CHARACTERS]
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    if "<" in text:
        text = _TAG.sub(" ", _LINE_BREAK.sub("\n", text))
    if "[[" in text:
        text = _EMBEDDED.sub(" ", text)
    if ":" in text or ";" in text or "=" in text:
        text = _SMILEY.sub(" . ", text)
    text = text.replace("\n", " . ")
    if text.isascii():
        text = text.encode().translate(_ODD_IN_ASCII).decode()
    else:
        text = _ODD.sub(" ", unicodedata.normalize("NFKC", text.replace("\u2019", "'")))
    text = _FULL_STOP.sub(" . ", text).lower()
    for mark in ",!?;:()":
        text = text.replace(mark, f" {mark} ")
    text = f" {text} ".replace("--", " - ").replace(" -", " - ").replace("- ", " - ")
    return text.replace(" '", " ").replace("' ", " ").split()
