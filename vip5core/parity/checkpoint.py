"""The parameters of the official implementation (jeykigung/VIP5) in a model of ours. No trial uses this."""

from __future__ import annotations

import re

from vip5core.model import VIP5
from vip5core.official import names
from vip5core.vocabulary import SHARED


def our_name(official: str, model: VIP5) -> str:
    """The name in `model` of a parameter of the official code.

    Raises:
        KeyError: if it has no counterpart.
    """
    name = names.our_name(official)
    wrapped = name.removesuffix("weight") + "linear.weight"  # an output projection with an adapter around it
    shared = re.sub(r"\.bank\.\w+\.", f".bank.{SHARED}.", name)
    parameters = dict(model.named_parameters())
    for candidate in (name, wrapped, shared):
        if candidate in parameters:
            return candidate
    raise KeyError(f"official parameter {official!r} has no counterpart {name!r} in the model")
