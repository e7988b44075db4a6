"""What names a checkpoint of the official code, and what its import is identified by; reads no tensors."""

from __future__ import annotations

from pathlib import Path

from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint, hash_files

#: A name with such an ending is a file's, not one of the hub.
_ENDINGS = (".pth", ".pt")

#: Files of a tokenizer, which may lie beside a checkpoint; the first two can be read without the others.
TOKENIZER_FILES = ("tokenizer.json", "spiece.model", "tokenizer_config.json", "special_tokens_map.json")

#: Raised when an import writes something else than before, so that earlier ones are made anew.
_VERSION = 1


def is_checkpoint(name: str) -> bool:
    """Does the name of a backbone mean the file of a checkpoint?"""
    return name.endswith(_ENDINGS) or Path(name).expanduser().is_file()


def checkpoint_key(file: Path) -> str:
    """The identity of an import: the checkpoint and the tokenizer beside it.

    Raises:
        UserError: if there is no such file.
    """
    if not file.is_file():
        raise UserError(
            f"--backbone {str(file)!r}: there is no such file; give the checkpoint of an official P5 or VIP5"
        )
    return fingerprint(_VERSION, hash_files([file]), hash_files(tokenizer_beside(file)))


def tokenizer_beside(file: Path) -> list[Path]:
    """The files of the tokenizer in the folder of a checkpoint; none if they cannot be read as one."""
    found = [path for name in TOKENIZER_FILES if (path := file.parent / name).is_file()]
    return found if any(path.name in TOKENIZER_FILES[:2] for path in found) else []
