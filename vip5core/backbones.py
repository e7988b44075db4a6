"""The names and folders of backbones: where one is found, and what identifies it.

`t5-small` is a T5 as it is; `p5:t5-small` is the same after a P5 stage on the dataset of the trials. A built-in
backbone has learnt nothing without that stage, so `tiny` is short for `p5:tiny`. See `vip5core.model` for what is in a
folder.
"""

from __future__ import annotations

from pathlib import Path

from vip5core.errors import UserError, first_line
from vip5core.fingerprint import hash_files
from vip5core.home import Home
from vip5core.official.identity import checkpoint_key, is_checkpoint
from vip5core.storage import atomic_folder
from vip5core.vocabulary import BUILT_IN

P5_PREFIX = "p5:"

#: How a backbone's P5 stage went, in its folder: no part of its identity, for times differ.
P5_RECORD = "p5_stage.json"

_NEEDED = ("*.json", "*.safetensors", "spiece.model")


def short_name(name: str) -> str:
    """The name of a backbone without what it does not need.

    >>> short_name("p5:tiny"), short_name("p5:t5-small"), short_name("t5-small")
    ('tiny', 'p5:t5-small', 't5-small')

    Raises:
        UserError: if nothing follows `p5:`.
    """
    if name.strip() == P5_PREFIX:
        raise UserError(f"--backbone {name!r}: name the T5 that is to be trained, such as p5:t5-small or p5:FOLDER")
    after = name.removeprefix(P5_PREFIX)
    return after if after in BUILT_IN else name


def trained_t5(name: str) -> str | None:
    """The T5 that a P5 stage trains to make the backbone `name`; None for a backbone that is frozen as it is.

    >>> trained_t5("tiny"), trained_t5("p5:t5-small"), trained_t5("t5-small")
    ('tiny', 't5-small', None)
    """
    name = short_name(name)
    return name.removeprefix(P5_PREFIX) if name in BUILT_IN or name.startswith(P5_PREFIX) else None


def find_backbone(name: str, home: Home) -> Path:
    """The folder of a T5: `name` itself, or downloaded from the hub to `home/backbones/`; of `p5:NAME` that of NAME.

    A file is a checkpoint of the official code, which is imported into `home/backbones/`.

    Raises:
        UserError: if it is neither a folder with a T5, nor such a file, nor available from the hub.
    """
    found = find_local_backbone(name, home)
    if found is not None:
        return found
    t5 = name.removeprefix(P5_PREFIX)
    if is_checkpoint(t5):
        return home.publish(_import(Path(t5).expanduser(), home))
    target = home.downloaded_backbone(t5)
    try:
        _download(t5, target)
    except Exception as error:
        raise UserError(
            f"--backbone {name!r}: {t5!r} is not a folder and cannot be downloaded from the hub "
            f"({first_line(error)}): give the folder of a saved T5, or one of the built-in backbones: "
            f"{', '.join(BUILT_IN)}"
        ) from None
    return home.publish(target)


def find_local_backbone(name: str, home: Home) -> Path | None:
    """The folder that `find_backbone` finds without a download or an import; None if it would need one.

    Raises:
        UserError: if `name` is a folder without a T5, or a checkpoint that does not exist.
    """
    t5 = name.removeprefix(P5_PREFIX)
    folder = Path(t5).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"--backbone {name!r} is a folder without config.json: give the folder of a saved T5")
        return folder.resolve()
    made = home.imported_backbone(checkpoint_key(folder)) if is_checkpoint(t5) else home.downloaded_backbone(t5)
    return made if home.fetch(made).is_dir() else None


def _import(file: Path, home: Home) -> Path:
    from vip5core.official.importing import import_checkpoint  # late, because it imports PyTorch

    return import_checkpoint(file, home.imported_backbone(checkpoint_key(file)), lambda name: find_backbone(name, home))


def _download(name: str, target: Path) -> None:
    from huggingface_hub import snapshot_download  # late, because its client takes time to import

    with atomic_folder(target) as aside:
        snapshot_download(name, local_dir=aside, allow_patterns=list(_NEEDED))
        if not (aside / "config.json").is_file():
            raise FileNotFoundError("no config.json")


def backbone_fingerprint(folder: Path) -> str:
    """The identity of a backbone: its weights, configuration and tokenizer."""
    found = (path for pattern in (*_NEEDED, "*.bin") for path in folder.glob(pattern))
    files = sorted(path for path in found if path.name != P5_RECORD)
    return hash_files(files)
