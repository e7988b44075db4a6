"""Pickles of plain data, without what makes pickles dangerous: code.

A pickle is a program; loading one from the net may do anything. This loader builds containers, strings and numbers, and
refuses by name everything that would have to be imported.
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


class _Refused(pickle.UnpicklingError):
    pass


# The one written in Python: the other makes room for as many objects as a damaged file says it has, 32 GB and more.
class _PlainUnpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CONTAINERS:
            return _CONTAINERS[module, name]
        raise _Refused(repr(f"{module}.{name}"[:100]))

    def persistent_load(self, pid: object) -> Any:
        raise _Refused("a reference to something outside it")


def load_plain_pickle(path: Path) -> Any:
    """The containers, strings and numbers in a pickle.

    Raises:
        UserError: if the file holds anything else, is no pickle, or is truncated.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read ({error.strerror}): check --source") from None
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except _Refused as error:
        raise UserError(
            f"{str(path)!r} holds {error}: only plain containers, strings and numbers are read from a pickle; "
            "it may be harmful, get it from a source that you trust"
        ) from None
    except Exception as error:  # a broken pickle can raise nearly anything
        raise UserError(f"{str(path)!r} is not a pickle ({type(error).__name__}): download it again") from None
