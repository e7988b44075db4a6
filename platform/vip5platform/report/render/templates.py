"""The templates of HTML pages."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from vip5platform.report.formatting import format_probability, shorten_prompt

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
