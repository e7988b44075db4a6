"""The Pinterest data of "Neural Collaborative Filtering" (NCF): 1.5 million pins, 55,187 users, 9,916 images.

The release has numbers alone, no times and no titles. What it holds out is what we hold out: a user's last pin, to be
ranked against the 99 negatives that were published with it.

Source: He et al., "Neural Collaborative Filtering", 2017; its `pinterest-20.*` files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vip5core.data.raw import Details, DropLedger, Provided, RawData, ReadRequest, describe_items_and_users
from vip5core.data.readers.image_files import find_image
from vip5core.data.readers.text_files.lines import BadLine, read_lines
from vip5core.data.readers.text_files.numeric_rows import interactions_of
from vip5core.errors import UserError

_ID = "[0-9]{1,18}"  # fits 64 bits
_PIN = re.compile(rf"({_ID})\t({_ID})\t([0-9]{{1,6}}(?:\.[0-9]{{1,6}})?)(?!\S)")
_LIST = re.compile(rf"\(\s*({_ID})\s*,\s*({_ID})\s*\)((?:\t{_ID})+)\s*")


def read_pinterest(request: ReadRequest) -> RawData:
    """Read `pinterest-20.{train.rating,test.rating,test.negative}`, each also as `.gz`, and `images/` in its folder.

    The order of the files is the order of the pins, the test pin the last. An interaction's timestamp is its running
    number among the user's: it says what came before what, and nothing about when.

    Items have no titles, so the builder calls them by number; an image is `images/{item}.jpg` (or .png, .webp), if
    there. The negatives may be missing; then they are drawn like those of any source.

    Raises:
        UserError: if one of the two rating files is missing or is something else.
    """
    source = request.folder
    ledger = DropLedger()
    train = interactions_of(_pins(_needed(source, "pinterest-20.train.rating"), ledger))
    test = interactions_of(_pins(_needed(source, "pinterest-20.test.rating"), ledger))
    again = test.duplicated("user")
    if again.any():
        ledger.add("pin", "a second test pin of its user", f"user {test['user'][again].iloc[0]}", int(again.sum()))
    test = test[~again]
    untested = train["user"].nunique() - test["user"].isin(train["user"].unique()).sum()
    if untested:
        ledger.add("test pin", "the user has none: the last training pin takes its place", count=int(untested))

    interactions = pd.concat([train, test], ignore_index=True)
    interactions["timestamp"] = interactions.groupby("user").cumcount()
    lists = _found(source, "pinterest-20.test.negative")
    held_out = dict(zip(test["user"], test["item"], strict=True))
    negatives = _negatives(lists, held_out, ledger) if lists else {}

    def details(kept: pd.DataFrame) -> Details:
        images = {item: {"image": find_image(source / "images", item)} for item in kept["item"].unique()}
        return Details(*describe_items_and_users(kept, images))

    return RawData({"name": request.name}, interactions, details, ledger, Provided(negatives=negatives))


def _found(source: Path, name: str) -> Path | None:
    return next((path for path in (source / name, source / f"{name}.gz") if path.is_file()), None)


def _needed(source: Path, name: str) -> Path:
    path = _found(source, name)
    if path is None:
        raise UserError(
            f"{str(source / name)!r} is missing, and so is {name}.gz: --source must name the folder with the "
            "pinterest-20.* files of the NCF release"
        )
    return path


def _pins(path: Path, ledger: DropLedger) -> Iterator[tuple[int, int, int, float]]:
    """User, item, time (0: there is none), rating."""

    def parse(line: str) -> tuple[int, int, int, float]:
        found = _PIN.match(line)
        if not found:
            raise BadLine("not user, item, rating and perhaps more, separated by tabs")
        user, item, rating = found.groups()
        return int(user), int(item), 0, float(rating)

    return read_lines(path, parse, ledger, "pin")


def _negatives(path: Path, held_out: dict[str, str], ledger: DropLedger) -> dict[str, list[str]]:
    """By user, the items to rank the test pin against; only lists made for that very pin."""
    names: dict[str, str] = {}  # one text for all occurrences of an item: 5 million of them are published

    def parse(line: str) -> tuple[str, list[str]]:
        found = _LIST.fullmatch(line)
        if not found:
            raise BadLine("not (user,item) and the numbers of items, separated by tabs")
        user, item, items = found.groups()
        user = str(int(user))
        if held_out.get(user) != str(int(item)):
            raise BadLine("not a list for the user's test pin")
        return user, [names.get(text) or names.setdefault(text, str(int(text))) for text in items[1:].split("\t")]

    return dict(read_lines(path, parse, ledger, "negatives"))
