"""Opening an image, or saying in a few words why it cannot be used."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

#: Images with a side outside these are refused: a pixel shows nothing, a banner of 20,000 px is a bomb or a mistake.
MIN_SIDE, MAX_SIDE = 4, 10_000


class UnreadableImage(Exception):
    """Why an image cannot be used; goes to the ledger."""


def open_image(path: Path) -> Image.Image:
    """The image in RGB.

    Raises:
        UnreadableImage: missing, or what `decode_image` says.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror}") from None
    return decode_image(data)


def decode_image(data: bytes) -> Image.Image:
    """The image in RGB.

    Raises:
        UnreadableImage: empty, truncated, of no known format, or of an impossible size.
    """
    if not data:
        raise UnreadableImage("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns of large images; the sides are checked before decoding
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
        raise UnreadableImage(f"damaged: {str(error) or type(error).__name__}") from None
