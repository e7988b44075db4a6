"""Content hashes: what makes two datasets, feature stores, trials or code versions the same."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(*parts: Any) -> str:
    """The first 16 hex digits of sha256 over the canonical JSON of `parts`."""
    return hashlib.sha256(canonical_json(list(parts)).encode()).hexdigest()[:16]


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def code_version() -> str:
    """A hash over the sources of `vip5core`.

    A result belongs to the code that computed it, so this is part of every trial's fingerprint. Sources are
    hashed, not a commit: an edited checkout is another version, and an installed wheel has no git.
    """
    root = Path(__file__).parent
    files = sorted(path for path in root.rglob("*") if path.suffix in {".py", ".yaml", ".json"})
    return fingerprint([[path.relative_to(root).as_posix(), sha256_file(path)] for path in files])
