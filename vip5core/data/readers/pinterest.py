"""The Pinterest data of "Neural Collaborative Filtering" (NCF): 1.5 million pins, 55,187 users, 9,916 images.

The release has only numbers: no times and no titles. It holds out what we hold out, a user's last pin, and provides the
99 negatives that this pin is ranked against.

Source: He et al., "Neural Collaborative Filtering", 2017; its `pinterest-20.*` files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vip5core.data.raw import Details, DropLedger, Provided, RawData, ReadRequest, describe_items_and_users
from vip5core.data.readers.image_files import PictureFolder
from vip5core.data.readers.text_files.lines import BadLine, read_lines
from vip5core.data.readers.text_files.numeric_rows import to_interactions
from vip5core.errors import UserError

_ID = "[0-9]{1,18}"  # fits 64 bits
_PIN = re.compile(rf"({_ID})\t({_ID})\t([0-9]{{1,6}}(?:\.[0-9]{{1,6}})?)(?!\S)")
_LIST = re.compile(rf"\(\s*({_ID})\s*,\s*({_ID})\s*\)((?:\t{_ID})+)\s*")


def read_pinterest(request: ReadRequest) -> RawData:
    """Read `pinterest-20.{train.rating,test.rating,test.negative}`, each also as `.gz`, and `images/` in its folder.

    The order of the files is the order of the pins, with the test pin last. An interaction's timestamp is its position
    among the user's pins: it gives their order, not their time.

    Items have no titles, so the builder uses their numbers; an image is `images/{item}.jpg` (or another ending, see
    `PictureFolder`), if it exists. Without the file of negatives, these are drawn as for any source.

    Raises:
        UserError: if one of the two rating files is missing or has another format.
    """
    source = request.folder
    ledger = DropLedger()
    train = to_interactions(_read_pins(_require(source, "pinterest-20.train.rating"), ledger))
    test = to_interactions(_read_pins(_require(source, "pinterest-20.test.rating"), ledger))
    again = test.duplicated("user")
    if again.any():
        ledger.add("pin", "second test pin of its user", f"user {test['user'][again].iloc[0]}", int(again.sum()))
    test = test[~again]
    untested = train["user"].nunique() - test["user"].isin(train["user"].unique()).sum()
    if untested:
        ledger.add("test pin", "missing: the user's last training pin is used", count=int(untested))

    interactions = pd.concat([train, test], ignore_index=True)
    interactions["timestamp"] = interactions.groupby("user").cumcount()
    lists = _find(source, "pinterest-20.test.negative")
    held_out = dict(zip(test["user"], test["item"], strict=True))
    negatives = _read_negatives(lists, held_out, ledger) if lists else {}

    def details(kept: pd.DataFrame) -> Details:
        pictures = PictureFolder(source / "images")
        images = {item: {"image": pictures.find(item, ledger)} for item in kept["item"].unique()}
        pictures.add_unused(ledger)
        return Details(*describe_items_and_users(kept, images))

    return RawData(
        {"name": request.name}, interactions, details, ledger, Provided(negatives=negatives), has_times=False
    )


def _find(source: Path, name: str) -> Path | None:
    return next((path for path in (source / name, source / f"{name}.gz") if path.is_file()), None)


def _require(source: Path, name: str) -> Path:
    path = _find(source, name)
    if path is None:
        raise UserError(
            f"{str(source / name)!r} is missing, and so is {name}.gz: --source must be the folder with the "
            "pinterest-20.* files of the NCF release"
        )
    return path


def _read_pins(path: Path, ledger: DropLedger) -> Iterator[tuple[int, int, int, float]]:
    """Read user, item, time (always 0) and rating."""

    def parse(line: str) -> tuple[int, int, int, float]:
        found = _PIN.match(line)
        if not found:
            raise BadLine("not user, item and rating, separated by tabs")
        user, item, rating = found.groups()
        return int(user), int(item), 0, float(rating)

    return read_lines(path, parse, ledger, "pin")


def _read_negatives(path: Path, held_out: dict[str, str], ledger: DropLedger) -> dict[str, list[str]]:
    """The items that a user's test pin is ranked against; only of lists for that very pin."""
    names: dict[str, str] = {}  # one string for all occurrences of an item: there are 5 million

    def parse(line: str) -> tuple[str, list[str]]:
        found = _LIST.fullmatch(line)
        if not found:
            raise BadLine("not (user,item) and item numbers, separated by tabs")
        user, item, items = found.groups()
        user = str(int(user))
        if held_out.get(user) != str(int(item)):
            raise BadLine("not a list for the user's test pin")
        return user, [names.get(text) or names.setdefault(text, str(int(text))) for text in items[1:].split("\t")]

    negatives: dict[str, list[str]] = {}
    for user, items in read_lines(path, parse, ledger, "negatives"):
        if user in negatives:
            ledger.add("negatives", "second list of its user: the last is used", f"user {user}")
        negatives[user] = items
    return negatives
