"""A shop in tables whose pictures lie in a folder of their own, in many formats and some of them damaged."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.damaged_pictures import damage, outcome
from vip5core.picture_formats import FORMATS

#: The endings of the pictures, in turn.
_ENDINGS = (".jpg", ".JPG", ".jpeg", ".png", ".PNG", ".webp", ".gif", ".avif", ".tif", ".bmp", ".jp2", ".ppm")
_FORMAT_OF = {ending: form.name for form in FORMATS for ending in form.endings}


def write_damaged_shop(source: Path, root: Path, items: int = 200, damaged: int = 40, seed: int = 0) -> list[str]:
    """Write tables into `source` and a picture of each item into `root`; returns the items whose picture is damaged.

    Each damaged picture is so in its own way, by chance or as one of those that people meet: an empty file, a web page,
    a format that is not read, an image of one pixel, one that claims to be gigantic, or grey without a fixed range.
    """
    rng = np.random.default_rng(seed)
    names = [f"sku{number:03d}" for number in range(items)]
    source.mkdir(parents=True)
    root.mkdir(parents=True)
    order = np.concatenate([rng.permutation(items) for _ in range(6)]).tolist()
    rows = [
        (f"u{place // 8:03d}", names[item], 1_600_000_000 + 3600 * place, 1 + item % 5)
        for place, item in enumerate(order[: len(order) // 8 * 8])
    ]
    pd.DataFrame(rows, columns=["user", "item", "time", "rating"]).to_csv(source / "interactions.csv", index=False)
    titles = [f"lamp number {number}" for number in range(items)]
    pd.DataFrame({"item": names, "title": titles, "categories": "home"}).to_csv(source / "items.csv", index=False)
    (source / "columns.yaml").write_text(f"name: damaged-shop\nimages: {{root: {root}}}\n")
    known = _known_damage()
    for number, (name, ending) in enumerate(zip(names, itertools.cycle(_ENDINGS), strict=False)):
        data = _picture(rng, ending)
        if number < damaged:
            data = known[number] if number < len(known) else _unreadable(data, rng)
        (root / f"{name}{ending}").write_bytes(data)
    return names[:damaged]


def _picture(rng: np.random.Generator, ending: str) -> bytes:
    pixels = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return _saved(Image.fromarray(pixels).resize((64, 48), Image.Resampling.BILINEAR), _FORMAT_OF[ending.lower()])


def _known_damage() -> list[bytes]:
    tall = bytearray(_saved(Image.new("RGB", (8, 8)), "BMP"))
    tall[22:26] = (30_000_000).to_bytes(4, "little")
    return [
        b"",
        b"<!DOCTYPE html><html>404</html>",
        b"\0\0\0\x18ftypheic" + bytes(500),
        b"\xff\xd8\xff" + bytes(1000),
        bytes(5000),
        bytes(tall),
        _saved(Image.new("RGB", (1, 1)), "PNG"),
        _saved(Image.new("L", (64, 48), 9).convert("F"), "TIFF"),
    ]


def _unreadable(data: bytes, rng: np.random.Generator) -> bytes:
    while True:
        changed = damage(data, rng)
        if outcome(changed)[0] == "refused":
            return changed


def _saved(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()
