"""How every command line of the project ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from vip5core.errors import UserError


def run_and_exit(work: Callable[[], int]) -> NoReturn:
    """Do `work` and leave the process with the code that it returns.

    A user's mistake is one line and code 2; an interruption is code 130 and says how to go on.
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
