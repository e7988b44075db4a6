"""Reads the items of the Amazon dumps, whose format the release of VIP5 has, too, and cleans their texts."""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vip5core.data.raw import DropLedger
from vip5core.data.readers.text_files.lines import BadLine, read_lines

Record = dict[str, Any]
#: The number of a picture of an item, and an address of it; several addresses may show one picture in several sizes.
PictureUrl = tuple[int, str]

MAX_TITLE, _MAX_DESCRIPTION = 300, 2000  # characters
_MARKUP = re.compile(r"<[^<>]{0,300}>")


def read_record(line: str) -> Record:
    """Parse a JSON object, or a Python literal as in the items of 2014; nothing is evaluated. Raises: BadLine."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        try:
            record = ast.literal_eval(line.strip())
        except (ValueError, SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError):
            raise BadLine("neither JSON nor a Python literal") from None
    if not isinstance(record, dict):
        raise BadLine("not an object with keys and values")
    return record


def read_items(
    path: Path, key: str, wanted: set[str], image_urls: Callable[[Record], list[PictureUrl]], ledger: DropLedger
) -> dict[str, Record]:
    """Read the wanted items of a file of items; the first record of each counts.

    Args:
        path: the file, with one JSON object or Python literal per line.
        key: the key of an item's id.
        wanted: the raw ids of the items to read.
        image_urls: gives the addresses of an item's pictures, best first.
        ledger: takes the lines that cannot be read, and further records of an item.

    Returns:
        The title, categories, description, image_urls and url_pictures of each item, by raw id.
    """
    id_of = re.compile(rf"""["']{key}["']\s*:\s*(["'])(.{{0,300}}?)\1""")

    def parse(line: str) -> Record | None:
        # A dump has many more items than its core: others are not parsed. The text of an item may contain the key, too,
        # and an id may be written with escapes.
        ids = [raw_id for _, raw_id in id_of.findall(line)]
        if ids and not any(raw_id in wanted or "\\" in raw_id for raw_id in ids):
            return None
        item = read_record(line)
        if not isinstance(item.get(key), str):
            raise BadLine(f"no {key}")
        return item if item[key] in wanted else None

    items: dict[str, Record] = {}
    for item in read_lines(path, parse, ledger, "item"):
        if item[key] in items:
            ledger.add("item", "duplicate description: the first one is kept", f"item {item[key]}")
            continue
        picture_of: dict[str, int] = {}
        for picture, url in image_urls(item):
            if url.isprintable() and "\ufffd" not in url:
                picture_of.setdefault(url, picture)
        items[item[key]] = {
            "title": strip_markup(item.get("title"), MAX_TITLE),
            "categories": _categories(item),
            "description": strip_markup(" ".join(strings(item.get("description"))), _MAX_DESCRIPTION),
            "image_urls": list(picture_of),
            "url_pictures": list(picture_of.values()),
        }
    return items


def _categories(item: Record) -> list[str]:
    """2014 has a list of paths, 2018 `category`, 2023 `categories`: the first path."""
    names = item.get("categories") or item.get("category") or []
    if isinstance(names, list) and names and isinstance(names[0], list):
        names = names[0]
    names = [strip_markup(name, MAX_TITLE) for name in strings(names) or strings(item.get("main_category"))]
    return [name for name in names if name]


def strings(value: object) -> list[str]:
    """The strings in a value that may be one, a list of them, or nothing."""
    texts = [text_of(text).strip() for text in (value if isinstance(value, list) else [value])]
    return [text for text in texts if text]


def text_of(value: object) -> str:
    """The value if it is text, else nothing; surrogates, which escapes can write but no file can hold, are joined or
    replaced."""
    if not isinstance(value, str) or value.isascii():
        return value if isinstance(value, str) else ""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def strip_markup(value: object, longest: int) -> str:
    """Strip the markup of a text, and cut it at a word after `longest` characters."""
    text = text_of(value)[: 4 * longest]
    if "<" in text or "&" in text:
        text = _MARKUP.sub(" ", html.unescape(text))
    text = " ".join(text.split())
    return text if len(text) <= longest else text[:longest].rsplit(" ", 1)[0]
