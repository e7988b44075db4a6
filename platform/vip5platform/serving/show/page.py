"""The page: one HTML file with everything in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from vip5core.serving import Case, Word
from vip5platform.report.formatting import shorten_prompt
from vip5platform.report.pictures import pictures_of
from vip5platform.report.render.templates import page_environment
from vip5platform.serving.show.choose import SHOWN, verdict
from vip5platform.serving.show.gather import Person, Show

#: The most characters of all pictures, and of a page with its pictures.
_PICTURES, _PAGE = 2_000_000, 4_800_000
#: Items of a history that are shown, the newest ones.
_HISTORY = 24


def render_page(show: Show) -> str:
    """The page as HTML. All text is escaped."""
    environment = page_environment("vip5platform.serving.show")
    environment.filters |= {
        "words": lambda case: words_shown(case, show.whole_prompts),
        "best": best_items,
        "verdict": verdict,
        "newest": lambda items: items[-_HISTORY:],
    }
    template = environment.get_template("page.html.j2")
    text = template.render(show=show, pictures=pictures_of(show.dataset, (), 0))
    room = max(0, min(_PICTURES, _PAGE - len(text)))
    return template.render(show=show, pictures=pictures_of(show.dataset, shown_items(show), room))


def shown_items(show: Show) -> Iterator[int]:
    """The items whose pictures are on the page, as often as they are."""
    return (item for person in show.people for item in _items_of(person, show.whole_prompts))


def _items_of(person: Person, whole_prompts: bool) -> Iterator[int]:
    yield from person.history[-_HISTORY:]
    for asked in person.asked:
        yield asked.item
        yield from asked.nearest
        for case in asked.cases:
            yield from (item for item, _ in best_items(case))
            yield from (word.item for word in words_shown(case, whole_prompts) if word is not None and word.item)


def words_shown(case: Case, whole: bool) -> Sequence[Word | None]:
    """The words of a prompt; those of a long one in short, unless it is shown as a whole."""
    return case.words if whole else shorten_prompt(case.words)


def best_items(case: Case) -> list[tuple[int, float]]:
    """The first items of a list with their probabilities."""
    ranked = case.ranked
    return [(item, math.exp(score)) for item, score in zip(ranked.items[:SHOWN], ranked.scores, strict=False)]
