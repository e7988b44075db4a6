"""A contact sheet of sample items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from vip5core.data.dataset import Dataset
from vip5core.encoders import UnreadableImage, open_image
from vip5core.errors import UserError
from vip5core.storage import atomic_file


def sample_items(dataset: Dataset, count: int, seed: int = 0) -> pd.DataFrame:
    """Draw items at random, those with an image first."""
    order = np.random.default_rng([seed, dataset.n_items]).permutation(dataset.n_items)
    drawn = dataset.items.iloc[order]
    return drawn.sort_values("image_sha256", key=lambda hashes: hashes.isna(), kind="stable").head(count)


def draw_sheet(dataset: Dataset, out: Path, columns: int = 6, rows: int = 4) -> Path:
    """Write a PNG that shows sample items with image, number, title and categories.

    Raises:
        UserError: if the file cannot be written.
    """
    items = sample_items(dataset, columns * rows)
    width, height, side = 210, 270, 180
    sheet = Image.new("RGB", (columns * width, -(-len(items) // columns) * height), "white")
    pen = ImageDraw.Draw(sheet)
    bold, small = ImageFont.load_default(13), ImageFont.load_default(11)
    for place, item in enumerate(items.to_dict("records")):
        left, top = place % columns * width + 12, place // columns * height + 10
        _paste(sheet, pen, dataset, item["image"], (left, top), side)
        pen.text((left, top + side + 4), f"{item['item']}  {item['raw_id']}"[:30], "black", bold)
        lines = [*_wrap(item["title"], 32, 2), " › ".join(map(str, item["categories"]))[-34:]]
        for number, line in enumerate(lines):
            pen.text((left, top + side + 22 + 14 * number), line, "#555555", small)
    try:
        with atomic_file(out) as aside:
            sheet.save(aside, "png")
    except OSError as error:
        raise UserError(f"--sheet {str(out)!r} cannot be written ({error.strerror}): choose another file") from None
    return out


def _paste(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    dataset: Dataset,
    image: str | None,
    corner: tuple[int, int],
    side: int,
) -> None:
    left, top = corner
    problem = "no image"
    if isinstance(image, str):
        try:
            opened = open_image(dataset.folder / image)
            opened.thumbnail((side, side))
            sheet.paste(opened, (left + (side - opened.width) // 2, top + (side - opened.height) // 2))
            return
        except (UnreadableImage, OSError) as error:
            problem = str(error)[:26]
    pen.rectangle((left, top, left + side, top + side), outline="#cccccc")
    pen.text((left + 12, top + side // 2 - 6), problem, "#999999", ImageFont.load_default(12))


def _wrap(text: str, width: int, most: int) -> Sequence[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 <= width:
            lines[-1] = f"{lines[-1]} {word}".strip()
        elif len(lines) < most:
            lines.append(word[:width])
        else:
            lines[-1] = lines[-1][: width - 1] + "…"
            break
    return lines
