"""Files of encoders: by what content they are known, and where those of a hub lie."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vip5core.errors import UserError, first_line
from vip5core.fingerprint import sha256_file


def digests(paths: Iterable[Path]) -> list[str]:
    """The sha256 of each file, read once per process unless it changes."""
    return [_digest(path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


@functools.cache
def _digest(path: Path, size: int, changed: int) -> str:
    return sha256_file(path)


def existing_folder(text: str, encoder: str) -> Path:
    """A folder that a user named.

    Raises:
        UserError: if there is none.
    """
    path = Path(text).expanduser()
    if not path.is_dir():
        raise UserError(f"encoder {encoder!r}: there is no folder {str(path)!r}; check the path")
    return path


def files_in(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files of a folder that fit one of the patterns, by name."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def read_json(path: Path, encoder: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"encoder {encoder!r}: {str(path)!r} cannot be read ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise UserError(f"encoder {encoder!r}: {str(path)!r} must hold a JSON object")
    return content


def unloadable(encoder: str, error: Exception, advice: str) -> UserError:
    """The error for an encoder that its library cannot load."""
    return UserError(f"encoder {encoder!r} cannot be loaded ({first_line(error)}): {advice}")


def hub_file(repository: str, name: str, encoder: str, required: bool = True) -> Path | None:
    """A file of a repository of the Hugging Face hub, downloaded unless it is there.

    What has been downloaded once stays, whatever becomes of the repository, so that a study goes on with the encoder
    that it began with; `@REVISION` after the repository's name chooses another.

    Args:
        repository: `ORG/NAME` or `ORG/NAME@REVISION`.
        name: the name of the file.
        encoder: the encoder as the user named it.
        required: whether it is an error that there is no such file.

    Raises:
        UserError: if it can neither be found nor downloaded.
    """
    from huggingface_hub import hf_hub_download  # late: 0.3 s

    identifier, _, revision = repository.partition("@")
    error: Exception
    for only_local in (True, False):
        try:
            found = hf_hub_download(identifier, name, revision=revision or None, local_files_only=only_local)
            return Path(found)
        except Exception as raised:  # of many kinds: no network, no such repository, no permission, a wrong name
            error = raised
    if not required:
        return None
    raise UserError(
        f"encoder {encoder!r}: {name} of {repository!r} is neither in the cache of the hub nor can it be downloaded "
        f"({first_line(error, 160)}): check the name and the network, or name a local folder"
    )


def commit_of(file: Path) -> str:
    """The revision of a downloaded file of the hub, whose cache names a folder after it."""
    return file.parent.name
