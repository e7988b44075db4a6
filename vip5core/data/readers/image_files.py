"""Images that lie in the folder of a source."""

from __future__ import annotations

from pathlib import Path

#: Endings of images that are named by an item's id, in the order they are tried.
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def find_image(folder: Path, raw_id: str) -> Path | None:
    """`folder/{raw_id}.jpg`, or with another of `ENDINGS`; None if there is none."""
    for ending in ENDINGS:
        path = folder / f"{raw_id}{ending}"
        if path.is_file():
            return path
    return None


def path_inside(folder: Path, name: str) -> Path:
    """The file that a source calls `name`, which must lie inside its folder.

    Links are followed first: a source that somebody else packed must not name this machine's own files.

    Raises:
        ValueError: in a few words: absolute, outside the folder, or no such file.
    """
    if Path(name).is_absolute():
        raise ValueError("an absolute path")
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
        found = inside and path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a NUL in it
        raise ValueError("no such file") from None
    if not inside:
        raise ValueError("a path out of the source's folder")
    if not found:
        raise ValueError("no such file")
    return path
