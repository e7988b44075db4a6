"""What the site does to pages: a link to a file outside docs/ becomes the path of that file, which a site lacks."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)\s#]+)[^)\s]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The text of a page as the site shows it."""
    return _OUTSIDE.sub(_as_path, markdown)


def _as_path(link: re.Match[str]) -> str:
    label, path = link[1], link[2]
    return f"`{path}`" if label.strip("`") in path else f"{label} (`{path}`)"
