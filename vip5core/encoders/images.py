"""Opens an image, or says in a few words why it cannot be used.

Of a file with several pictures (animations, the pages of a TIFF) the first is used. Colours become RGB as in CLIP's
own preprocessing, by `convert("RGB")`: transparency is ignored, so that a transparent pixel shows the colour stored
under it, and an EXIF orientation is not applied. Grey of 16 bits is the exception: `convert` would clip its levels.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from vip5core.errors import first_line
from vip5core.picture_formats import format_of, why_unread

#: Images with other sides are rejected: a single pixel shows nothing, and 20,000 px are a mistake or an attack.
MIN_SIDE, MAX_SIDE = 4, 10_000
#: Narrower ones are lines, and scaling their shorter side to that of an encoder would take gigabytes.
MAX_RATIO = 100
#: More scans of a JPEG are an attack (a progressive one has ten): a file of 1 MB can have thousands, of 0.1 s each.
MAX_SCANS = 500

#: The marker of a scan, which does not occur within one.
_SCAN = b"\xff\xda"
_TERMINAL = threading.Lock()


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
    """Decode an image of one of the formats in `vip5core.picture_formats` as RGB.

    Raises:
        UnreadableImage: if it is empty, damaged in whatever way, of another format, of an impossible size, or grey with
            levels that have no fixed range.
        MemoryError: if this machine lacks the memory for an image of a possible size.
    """
    if not data:
        raise UnreadableImage("empty file")
    form = format_of(data)
    if form is None:
        raise UnreadableImage(why_unread(data))
    if form.name not in Image.OPEN:
        Image.init()
        if form.name not in Image.OPEN:
            raise UnreadableImage(f"{form.name} is not read by the Pillow installed here")
    with _decoding(form.name), Image.open(io.BytesIO(data), formats=[form.name]) as image:
        _check_sides(image)
        if form.name == "JPEG" and data.count(_SCAN) > MAX_SCANS:
            raise UnreadableImage(f"more than {MAX_SCANS} scans")
        image.load()
        _check_sides(image)  # an icon may hold a picture of another size than its header says
        return _as_rgb(image, form.name)


@contextlib.contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Make whatever a decoder raises an `UnreadableImage` that names the format, and keep decoders silent.

    Decoders raise what they like: besides `OSError` and its kin, `RuntimeError` of damaged AVIF, `NotImplementedError`
    of DDS, `TypeError` of TIFF. Memory and interrupts pass.
    """
    silent = _silent_terminal() if name == "TIFF" else contextlib.nullcontext()
    try:
        with silent, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, too: the sides are checked before decoding
            yield
    except (UnreadableImage, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage("too many pixels") from None
    except UnidentifiedImageError:
        raise UnreadableImage(f"damaged {name}: its header cannot be read") from None
    except Exception as error:
        raise UnreadableImage(f"damaged {name}: {first_line(error)}") from None


@contextlib.contextmanager
def _silent_terminal() -> Iterator[None]:
    """Discard what is written to the process's standard error.

    libtiff writes a line for each fault of a file there, past `warnings` and `logging`. The lock keeps two threads from
    restoring each other's discarded output.
    """
    with _TERMINAL, contextlib.ExitStack() as stack:
        try:
            kept = os.dup(2)
            stack.callback(os.close, kept)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            stack.callback(os.close, nowhere)
        except OSError:  # the process has no standard error, or no descriptor to spare
            yield
            return
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(nowhere, 2)
        stack.callback(os.dup2, kept, 2)
        yield


def _check_sides(image: Image.Image) -> None:
    width, height = image.size
    short, long = min(width, height), max(width, height)
    if short < MIN_SIDE or long > MAX_SIDE:
        raise UnreadableImage(f"{width} x {height} px: sides must be {MIN_SIDE} to {MAX_SIDE} px")
    if long > MAX_RATIO * short:
        raise UnreadableImage(f"{width} x {height} px: one side must be at most {MAX_RATIO} times the other")


def _as_rgb(image: Image.Image, name: str) -> Image.Image:
    """Convert a decoded image to RGB; 16-bit grey becomes 256 levels by value / 257, rounded.

    Raises:
        UnreadableImage: for grey of floating-point numbers, or of signed or 32-bit integers.
    """
    # PGM of more than 256 levels, and PNG in older Pillows, come as 32-bit integers on a scale to 65,535.
    if image.mode.startswith("I;16") or (image.mode == "I" and name in ("PNG", "PPM")):
        # tag 258: BitsPerSample. Scanners write 12 bits, which Pillow leaves as they are.
        bits = image.tag_v2.get(258, (16,))[0] if isinstance(image, TiffImageFile) else 16
        levels = np.asarray(image).astype(np.float64) * (255 / (2**bits - 1))
        if isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0:  # white is 0, which Pillow turns at 8 bits
            levels = 255 - levels
        return Image.fromarray(np.rint(levels.clip(0, 255)).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        kind = "signed or 32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise UnreadableImage(f"{name} of {kind}, whose range is not known: save it with 8 or 16 bits")
    return image.convert("RGB")
