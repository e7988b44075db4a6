"""The names of visual encoders: which family a name belongs to, and what it is called in a table."""

from __future__ import annotations

from collections.abc import Sequence

from vip5core.errors import UserError, unknown_name
from vip5core.vocabulary import ENCODERS

#: The encoders that the paper does not name, by what stands before the colon of their names: the forms of a name.
FAMILIES: dict[str, tuple[str, ...]] = {
    "open_clip": (
        "open_clip:ARCHITECTURE/TAG",
        "open_clip:hf-hub:ORG/NAME",
        "open_clip:local-dir:FOLDER",
    ),
    "timm": ("timm:NAME", "timm:NAME@FILE", "timm:hf-hub:ORG/NAME", "timm:local-dir:FOLDER"),
    "hf": ("hf:ORG/NAME", "hf:FOLDER"),
    "features": ("features:PATH",),
}
#: What follows is a path, of which a table shows the last part.
_PATHS = ("open_clip:local-dir:", "timm:local-dir:", "features:", "hf:")


def family_of(name: str) -> str | None:
    """The family of an encoder by its name; None for the paper's own names and for names of no family."""
    family, colon, _ = name.partition(":")
    return family if colon and family in FAMILIES else None


def check_form(name: str) -> None:
    """Does the name have the form of an encoder's? Whether there is such an encoder is not asked here.

    Raises:
        UserError: naming the forms, or the nearest name.
    """
    family = family_of(name)
    if family is None:
        if name not in ENCODERS:
            forms = [form for forms in FAMILIES.values() for form in forms]
            raise UserError(f"{unknown_name('encoder', name, [*ENCODERS, *forms])}; `vip5 encoders {name}` searches")
    elif not name.partition(":")[2].strip():
        raise UserError(f"encoder {name!r}: something must follow the colon: {', '.join(FAMILIES[family])}")


def short_names(names: Sequence[str]) -> list[str]:
    """What each encoder is called in tables: of a path its last part, where no two names then look the same.

    >>> short_names(["RN50", "features:/data/shop/dino.npy", "open_clip:local-dir:/models/siglip/"])
    ['RN50', 'features:dino.npy', 'open_clip:siglip']
    >>> short_names(["features:a/x.npy", "features:b/x.npy"])
    ['features:a/x.npy', 'features:b/x.npy']
    """
    short = [_short(name) for name in names]
    return [of_name if short.count(of_name) == 1 else name for name, of_name in zip(names, short, strict=True)]


def _short(name: str) -> str:
    for start in _PATHS:
        path = name.removeprefix(start).rstrip("/")
        if name.startswith(start) and "/" in path:
            return f"{name.partition(':')[0]}:{path.rpartition('/')[2]}"
    return name
