"""The libraries that encoders come from: what is installed, and how much of them is imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from vip5core.errors import UserError

#: Our names of the libraries, with those of their packages.
_PACKAGES = {"open_clip": "open_clip_torch", "timm": "timm", "transformers": "transformers"}


def version(library: str) -> str:
    """The installed version of a library.

    Raises:
        UserError: if it is not installed.
    """
    folder(library)
    return metadata.version(_PACKAGES[library])


def folder(library: str) -> Path:
    """The folder of an installed library, which is not imported.

    Raises:
        UserError: if it is not installed.
    """
    spec = None if library in sys.modules and sys.modules[library] is None else find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{library} is not installed, and this encoder needs it: pip install {_PACKAGES[library]}")
    return Path(spec.submodule_search_locations[0])


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Import what follows as if optional packages were not installed, unless they have been imported already."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: Python's sign for "cannot be imported"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def complete_open_clip() -> None:
    """Give open_clip the libraries that `without` hid from it, for a tower of timm or a text tower of transformers.

    Its classes look these up in their modules, so that reading those again is enough.
    """
    for name in ("timm_model", "hf_model"):
        module = importlib.import_module(f"open_clip.{name}")
        if getattr(module, "timm" if name == "timm_model" else "transformers", None) is None:
            importlib.reload(module)
