"""Opens an image, or says in a few words why it cannot be used."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vip5core.errors import first_line

#: Images with other sides are rejected: a single pixel shows nothing, and 20,000 px are a mistake or an attack.
MIN_SIDE, MAX_SIDE = 4, 10_000


class UnreadableImage(Exception):
    """Why an image cannot be used, in a few words for the ledger."""


def open_image(path: Path) -> Image.Image:
    """Open an image file as RGB.

    Raises:
        UnreadableImage: if the file cannot be read or decoded.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror}") from None
    return decode_image(data)


def decode_image(data: bytes) -> Image.Image:
    """Decode an image as RGB.

    Raises:
        UnreadableImage: if it is empty, truncated, of an unknown format, or of an impossible size.
    """
    if not data:
        raise UnreadableImage("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns about large images; the sides are checked before decoding
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                if not (min(width, height) >= MIN_SIDE and max(width, height) <= MAX_SIDE):
                    raise UnreadableImage(f"{width} x {height} px: sides must be {MIN_SIDE} to {MAX_SIDE} px")
                return image.convert("RGB")
    except UnidentifiedImageError:
        raise UnreadableImage("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableImage("too many pixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnreadableImage(f"damaged: {first_line(error)}") from None
