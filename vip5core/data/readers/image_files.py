"""Finds the image files in the folder of a source."""

from __future__ import annotations

from pathlib import Path

#: Extensions of image files that are named by an item's id, in the order in which they are tried.
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


def find_image(folder: Path, raw_id: str) -> Path | None:
    """Find `folder/{raw_id}.jpg`, or a file with another of `ENDINGS`; None if there is none."""
    for ending in ENDINGS:
        path = folder / f"{raw_id}{ending}"
        if path.is_file():
            return path
    return None


def path_inside(folder: Path, name: str) -> Path:
    """The file `name` in the folder of a source, which must really be inside the folder.

    Links are followed first: a source from somebody else must not lead to other files of this machine.

    Raises:
        ValueError: with a short reason, if the path is absolute or outside the folder, or there is no such file.
    """
    if Path(name).is_absolute():
        raise ValueError("absolute path")
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve())
        found = inside and path.is_file()
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a NUL in it
        raise ValueError("no such file") from None
    if not inside:
        raise ValueError("outside the source's folder")
    if not found:
        raise ValueError("no such file")
    return path
