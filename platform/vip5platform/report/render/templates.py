"""The templates of HTML pages."""

from __future__ import annotations

import jinja2


def page_environment(package: str) -> jinja2.Environment:
    """An environment for the templates that lie in a package: it escapes all text, and a missing name is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
