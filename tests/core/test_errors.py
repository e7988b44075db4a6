"""Errors are one line with a way out, and failures are values that can be stored."""

from __future__ import annotations

import pytest

from vip5core.errors import DiskFullError, DivergedError, Failure, UserError, first_line, unknown_name


def test_an_error_is_one_line_with_the_nearest_name() -> None:
    assert str(UserError("two\n   lines ")) == "two lines"
    assert str(unknown_name("fruit", "aple", ["apple", "pear"])) == (
        "unknown fruit 'aple': did you mean 'apple'? known: apple, pear"
    )
    assert str(unknown_name("fruit", "zzz", ["apple"])) == "unknown fruit 'zzz': known: apple"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n  not a number\nat line 3"), "not a number"),
        (ValueError(" \n\t\n"), "ValueError"),
        (KeyError(), "KeyError"),
        (ValueError("x" * 1000), "x" * 300),
    ],
)
def test_the_first_line_of_an_error_is_never_empty(error: Exception, line: str) -> None:
    assert first_line(error) == line


@pytest.mark.parametrize(
    ("error", "kind", "message", "retryable"),
    [
        (UserError("epochs=0: too few"), "user_error", "epochs=0: too few", False),
        (DiskFullError("no room"), "disk_full", "no room", True),
        (DivergedError("the loss is nan"), "diverged", "DivergedError: the loss is nan", False),
        (MemoryError(), "out_of_memory", "MemoryError", True),
        (KeyError("x"), "error", "KeyError: 'x'", True),
        (None, "error", "it failed without an error message", True),
    ],
)
def test_a_failure_says_what_happened_and_whether_to_try_again(
    error: Exception | None, kind: str, message: str, retryable: bool
) -> None:
    failure = Failure.of(error)
    assert (failure.kind, failure.message, failure.retryable) == (kind, message, retryable)
    assert Failure.model_validate_json(failure.model_dump_json()) == failure
