"""How all command lines of the project exit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from vip5core.errors import UserError


def run_and_exit(work: Callable[[], int]) -> NoReturn:
    """Run `work` and exit with the code that it returns.

    A `UserError` is printed as one line and exits with code 2; an interruption exits with code 130.
    """
    try:
        code = work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        code = 130
    sys.exit(code)
