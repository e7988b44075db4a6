"""Loads pickles of plain data safely.

Loading an arbitrary pickle can run any code. This loader builds containers, strings and numbers, and rejects everything
that it would have to import.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from vip5core.errors import UserError

_CONTAINERS = {
    (module, name): kind
    for module in ("builtins", "__builtin__")
    for name, kind in (("set", set), ("frozenset", frozenset))
} | {("collections", "OrderedDict"): dict}


class _RejectedError(pickle.UnpicklingError):
    pass


# The implementation in Python: the one in C allocates whatever a damaged file claims to need, 32 GB and more.
class _PlainUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CONTAINERS:
            return _CONTAINERS[module, name]
        raise _RejectedError(repr(f"{module}.{name}"[:100]))

    def persistent_load(self, pid: object) -> Any:
        raise _RejectedError("a reference to an external object")


def load_plain_pickle(path: Path) -> Any:
    """Load the containers, strings and numbers in a pickle.

    Raises:
        UserError: if the file contains anything else, is not a pickle, or is truncated.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read ({error.strerror}): check --source") from None
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except _RejectedError as error:
        raise UserError(
            f"{str(path)!r} contains {error}: only plain containers, strings and numbers are read from a pickle, "
            "because others can run code; get the file from a source that you trust"
        ) from None
    except Exception as error:  # a broken pickle can raise nearly anything
        raise UserError(f"{str(path)!r} is not a pickle ({type(error).__name__}): download it again") from None
