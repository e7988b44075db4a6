"""Read the file of a checkpoint: tensors by name, and nothing else, for other pickled objects can run code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vip5core.errors import UserError, first_line

#: Before each name, if a model was saved inside the wrapper that trains it on several GPUs.
_WRAPPER = "module."
_WAY_OUT = "save the model's state dict alone: torch.save(model.state_dict(), FILE)"


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a state dict that `torch.save` wrote, without the prefix of a wrapper for several GPUs.

    Raises:
        UserError: if the file cannot be read, holds other objects, or is no state dict.
    """
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        what = f"the pickled object {refused[1]}" if refused else "something"
        raise UserError(
            f"{str(file)!r} holds {what} that is not a tensor, and loading it could run code: {_WAY_OUT}"
        ) from None
    except Exception as error:  # a damaged file can raise almost anything
        raise UserError(
            f"{str(file)!r} cannot be read as a checkpoint ({first_line(error)}): give a file written by torch.save"
        ) from None
    if not isinstance(state, dict) or not state:
        raise UserError(f"{str(file)!r} is no state dict but holds a {type(state).__name__}: {_WAY_OUT}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(
                f"{str(file)!r} is no state dict: its entry {name!r} is a {type(value).__name__}: {_WAY_OUT}"
            )
    return {name.removeprefix(_WRAPPER): value for name, value in state.items()}
