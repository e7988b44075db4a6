"""The folders of backbones: where one is found, and what identifies it; see `vip5core.model` for what is in them."""

from __future__ import annotations

import functools
from pathlib import Path

from vip5core.errors import UserError, first_line
from vip5core.fingerprint import fingerprint, sha256_file
from vip5core.home import Home
from vip5core.storage import atomic_folder
from vip5core.vocabulary import BUILT_IN

_NEEDED = ("*.json", "*.safetensors", "spiece.model")


def find_backbone(name: str, home: Home) -> Path:
    """The folder of a backbone: `name` itself, or downloaded from the hub to `home/backbones/`.

    Raises:
        UserError: if it is neither a folder with a T5 nor available from the hub.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"--backbone {name!r} is a folder without config.json: give the folder of a saved T5")
        return folder.resolve()
    target = home.downloaded_backbone(name)
    if not target.is_dir():
        try:
            _download(name, target)
        except Exception as error:
            raise UserError(
                f"--backbone {name!r} is not a folder and cannot be downloaded from the hub ({first_line(error)}): "
                f"give the folder of a saved T5, or one of the built-in backbones: {', '.join(BUILT_IN)}"
            ) from None
    return target


def _download(name: str, target: Path) -> None:
    from huggingface_hub import snapshot_download  # late, because its client takes time to import

    with atomic_folder(target) as aside:
        snapshot_download(name, local_dir=aside, allow_patterns=list(_NEEDED))
        if not (aside / "config.json").is_file():
            raise FileNotFoundError("no config.json")


def backbone_fingerprint(folder: Path) -> str:
    """The identity of a backbone: its weights, configuration and tokenizer."""
    files = sorted(path for pattern in (*_NEEDED, "*.bin") for path in folder.glob(pattern))
    return _hash_files(tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@functools.lru_cache(maxsize=4)
def _hash_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    """The fingerprint of files, of which all bytes are read: once per process, unless a file changes."""
    return fingerprint([[path.name, sha256_file(path)] for path, _, _ in files])
