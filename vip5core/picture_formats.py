"""The formats of picture files that are read: one table for decoders, downloads and the search for files.

A format is known by the first bytes of a file, whatever its name or a server says. Each is decoded by Pillow itself and
has a signature; the damaged files of `benchmarks/damaged_pictures.py` are made of each. What lacks a signature (TGA,
XBM), needs another program (EPS, WMF) or is not decoded by Pillow (HEIC, JPEG XL, SVG) is not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class PictureFormat:
    """A format of picture files.

    Attributes:
        name: Pillow's name of it.
        signature: matches the first bytes of its files.
        content_type: its media type.
        endings: what the names of its files end in, in lower case; the first is that of files named here.
    """

    name: str
    signature: re.Pattern[bytes]
    content_type: str
    endings: tuple[str, ...]


def _format(name: str, signature: bytes, content_type: str, *endings: str) -> PictureFormat:
    return PictureFormat(name, re.compile(signature, re.DOTALL), content_type, endings)


#: In the order in which one of several files of an item is chosen.
FORMATS = (
    _format("JPEG", rb"\xff\xd8\xff", "image/jpeg", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    _format("PNG", rb"\x89PNG\r\n\x1a\n", "image/png", ".png", ".apng"),
    _format("WEBP", rb"RIFF.{4}WEBP", "image/webp", ".webp"),
    _format("GIF", rb"GIF8[79]a", "image/gif", ".gif"),
    _format("AVIF", rb".{4}ftyp(avi[fs]|(mif1|msf1).{0,64}?avi[fs])", "image/avif", ".avif", ".avifs"),
    _format("TIFF", rb"II\*\0|MM\0\*|II\+\0|MM\0\+|MM\*\0|II\0\*", "image/tiff", ".tif", ".tiff"),
    # Texts may begin with "BM", too: the length of the second header must be one that exists.
    _format("BMP", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "image/bmp", ".bmp"),
    _format(
        "JPEG2000", rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n", "image/jp2", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c"
    ),
    _format("PPM", rb"P[1-6f]\s+[\d#]", "image/x-portable-anymap", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    _format("QOI", rb"qoif", "image/qoi", ".qoi"),
    _format("ICO", rb"\x00\x00\x01\x00[^\x00]\x00", "image/x-icon", ".ico"),
    _format("ICNS", rb"icns", "image/icns", ".icns"),
    _format("DDS", rb"DDS \x7c\0\0\0", "image/vnd-ms.dds", ".dds"),
    _format("PCX", rb"\n[\x00\x02\x03\x05][\x00\x01][\x01\x02\x04\x08]", "image/x-pcx", ".pcx"),
    _format("SGI", rb"\x01\xda[\x00\x01][\x01\x02]", "image/sgi", ".sgi", ".rgb", ".rgba", ".bw"),
)

#: All endings of picture files, in the order in which one of several files of an item is chosen.
ENDINGS = tuple(ending for form in FORMATS for ending in form.endings)

#: The first bytes of formats that people keep pictures in and that are not read.
_OTHER_SIGNATURES = {
    "HEIC": rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "Photoshop": rb"8BPS",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "PDF": rb"%PDF-",
}
_OTHERS = {name: re.compile(signature, re.DOTALL) for name, signature in _OTHER_SIGNATURES.items()}
#: The endings of formats that are not read.
_OTHER_ENDINGS = (".heic", ".heif", ".jxl", ".psd", ".svg", ".eps", ".tga", ".xbm", ".wmf")


def format_of(data: bytes | bytearray) -> PictureFormat | None:
    """The format that the first bytes of a file show; None if it is not one of `FORMATS`.

    >>> format_of(b"GIF89a").name
    'GIF'
    """
    return next((form for form in FORMATS if form.signature.match(data)), None)


def why_unread(data: bytes | bytearray) -> str:
    """Why a file of none of `FORMATS` is not read, in a few words."""
    other = next((name for name, signature in _OTHERS.items() if signature.match(data)), None)
    return "not an image" if other is None else f"{other} is not read: convert it to JPEG or PNG"


def has_picture_ending(name: str) -> bool:
    """Whether the name of a file ends like that of a picture that is read, in letters of either case."""
    return PurePath(name).suffix.lower() in ENDINGS


def has_other_ending(name: str) -> bool:
    """Whether the name of a file ends like that of a picture in a format that is not read."""
    return PurePath(name).suffix.lower() in _OTHER_ENDINGS
