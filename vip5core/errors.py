"""The one exception for mistakes a user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user gave: one line that names the value, the rule and the way out.

    Command lines print it without a traceback and leave with exit code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def unknown_name(kind: str, given: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a list, with the nearest one that is."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {given!r}: {hint}known: {', '.join(names)}")
