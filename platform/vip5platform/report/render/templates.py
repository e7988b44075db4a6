"""The templates of HTML pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import jinja2
from markupsafe import Markup

from vip5platform.report.formatting import format_probability

Word = TypeVar("Word")

#: Of a long prompt, the words and images that are shown of its beginning and its end.
_FIRST, _LAST = 48, 12

_SHARED = jinja2.PackageLoader("vip5platform.report.render", ".")


def page_environment(package: str) -> jinja2.Environment:
    """An environment for the templates that lie in a package, and those of cards, which pages share.

    All text is escaped, but for what the filter `made` marks as made here; a missing name is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, "."), _SHARED]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"made": Markup, "probability": format_probability, "shortened": shorten_prompt}
    return environment


def shorten_prompt(words: Sequence[Word]) -> list[Word | None]:
    """The words of a prompt; of a long one the first and the last, with None for those between them."""
    if len(words) <= _FIRST + _LAST:
        return list(words)
    return [*words[:_FIRST], None, *words[-_LAST:]]
