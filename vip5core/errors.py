"""Errors: mistakes that a user can correct, and failures as values that can be stored and shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError


class UserError(Exception):
    """A mistake in what the user gave, as one line that names the value, the rule and the way out.

    Command lines print it without a traceback and exit with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class DiskFullError(UserError):
    """The disk or the quota is full; the same command continues once there is space."""


class DivergedError(Exception):
    """The loss is no longer a finite number."""


def unknown_name(kind: str, given: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not among the known ones, with the nearest of them."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {given!r}: {hint}known: {', '.join(names)}")


def unknown_of_many(kind: str, given: str, known: Iterable[str], listed_by: str) -> UserError:
    """The same where there are too many to list them: with the three nearest, and the command that lists all."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return UserError(f"unknown {kind} {given!r}: {hint}{len(names)} are known, listed by `{listed_by}`")


def first_line(error: BaseException, at_most: int = 300) -> str:
    """The first line of an error's message that is not empty, cut at `at_most` characters; its type if there is none.

    >>> first_line(ValueError("\\n  not a number\\nat line 3"))
    'not a number'
    >>> first_line(KeyError())
    'KeyError'
    """
    if isinstance(error, ValidationError):  # whose first line only counts what is wrong
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:at_most]
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)[:at_most]


def first_few(names: Iterable[str], at_most: int = 3) -> str:
    """The first of `names`, quoted, for a message about all of them.

    >>> first_few(["a", "b", "c", "d"])
    "'a', 'b', 'c', …"
    """
    named = list(names)
    return ", ".join([*map(repr, named[:at_most]), *(["…"] if len(named) > at_most else [])])


#: What can end a trial without a result.
FailureKind = Literal[
    "user_error",  # its settings or inputs are wrong
    "disk_full",
    "diverged",  # its loss, or an objective, is not a finite number
    "process_died",  # killed
    "node_lost",  # its machine was taken away, died or cannot be reached
    "out_of_memory",
    "no_result",  # it ended without an error, but left no result
    "unavailable",  # its dataset or backbone could not be prepared
    "not_run",  # the study ended before it
    "stopped_early",  # a search gave it up
    "error",  # anything else that its code raised
]
#: Failures that may not occur again in another attempt.
_RETRYABLE: frozenset[FailureKind] = frozenset(
    {"disk_full", "process_died", "node_lost", "out_of_memory", "no_result", "not_run", "error"}
)


class Failure(BaseModel):
    """Why a trial left no result.

    Attributes:
        kind: The kind of failure; programs decide by this alone.
        message: One line for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FailureKind
    message: str

    @property
    def retryable(self) -> bool:
        """Is another attempt worthwhile? Not where the same settings would fail again."""
        return self.kind in _RETRYABLE

    @classmethod
    def of(cls, error: BaseException | None) -> Failure:
        """The failure that describes an exception; one that another library has wrapped must be unwrapped first."""
        if error is None:
            return cls(kind="error", message="it failed without an error message")
        kinds: list[tuple[type[BaseException], FailureKind]] = [
            (DiskFullError, "disk_full"),
            (UserError, "user_error"),
            (DivergedError, "diverged"),
            (MemoryError, "out_of_memory"),
        ]
        kind = next((kind for known, kind in kinds if isinstance(error, known)), "error")
        if type(error).__name__ == "OutOfMemoryError":  # of a GPU, by PyTorch, which is not imported here
            kind = "out_of_memory"
        if isinstance(error, UserError):  # one line already, whose end says what to do
            return cls(kind=kind, message=str(error))
        text, name = first_line(error), type(error).__name__
        return cls(kind=kind, message=text if text == name else f"{name}: {text}")
