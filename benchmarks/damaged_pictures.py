"""`python -m benchmarks.damaged_pictures`: damaged pictures of every format that Pillow writes and reads, decoded.

Each picture is written in every mode and compression that its format has, and damaged in one byte, in many, or cut
short. Whatever comes of it must be an image or an `UnreadableImage`. Decoding happens in a process of its own, because
a decoder in C may end it, not return, or write to the terminal.
"""

from __future__ import annotations

import argparse
import functools
import io
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from vip5core.encoders import UnreadableImage, decode_image

#: A decoder that has not returned after this time counts as hung.
PATIENCE_S = 30.0
#: A header decides more than the rest: this share of the damage is among the first bytes.
_HEADER_SHARE, _HEADER_BYTES = 0.35, 200
_MODES = ("RGB", "L", "P", "1", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
#: Written by a converter of pages, and read by no decoder.
_NOT_PICTURES = {"PDF"}
_TIFF_COMPRESSIONS = {
    "RGB": ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd"),
    "1": ("group3", "group4", "tiff_ccitt", "tiff_lzw"),
    "I;16": ("tiff_lzw", "tiff_adobe_deflate"),
}


@dataclass
class Outcomes:
    """What came of the damaged files of one format.

    Attributes:
        inputs: how many were decoded.
        decoded, refused: how many became an image, and an `UnreadableImage`.
        escaped: how many raised something else, with the last of these errors in `error`.
        crashed, hung: how many ended the process, and did not return.
        slowest_s: the longest CPU time for one, in seconds.
        printed: the bytes written to the terminal past Python.
    """

    inputs: int = 0
    decoded: int = 0
    refused: int = 0
    escaped: int = 0
    crashed: int = 0
    hung: int = 0
    slowest_s: float = 0.0
    printed: int = 0
    error: str = ""

    def add(self, outcome: str, seconds: float = 0.0, printed: int = 0, error: str = "") -> None:
        self.inputs += 1
        setattr(self, outcome, getattr(self, outcome) + 1)
        self.slowest_s = max(self.slowest_s, seconds)
        self.printed += printed
        self.error = error or self.error


@functools.cache
def pictures() -> dict[str, list[bytes]]:
    """Intact files by Pillow's name of their format: every one that it both writes and reads, in all its modes."""
    Image.init()
    made: dict[str, list[bytes]] = {}
    for name in sorted(set(Image.SAVE) - _NOT_PICTURES):
        made[name] = [file for mode in _MODES if (file := _written(name, mode)) is not None]
    for mode, compressions in _TIFF_COMPRESSIONS.items():
        made["TIFF"] += [_saved("TIFF", mode, compression=compression) for compression in compressions]
    made["JPEG"] += [_saved("JPEG", "RGB", progressive=True), _saved("JPEG", "RGB", subsampling=0, optimize=True)]
    made["JPEG2000"] += [_saved("JPEG2000", "RGB", no_jp2=True), _saved("JPEG2000", "RGB", tile_size=(16, 16))]
    made["WEBP"].append(_saved("WEBP", "RGB", lossless=True))
    for name in ("GIF", "WEBP", "AVIF", "PNG", "TIFF", "MPO"):
        made[name].append(_saved(name, "RGB", save_all=True, append_images=[picture("RGB").rotate(90)]))
    return {name: files for name, files in made.items() if files}


def picture(mode: str) -> Image.Image:
    """A picture of 64 x 48 px with smooth and noisy parts."""
    ramp = Image.linear_gradient("L").resize((64, 48))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8))
    colours = (ramp, ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT), noise)
    if mode == "LAB":
        return Image.merge("LAB", colours)
    if mode == "I;16":
        return Image.fromarray(np.asarray(ramp).astype(np.uint16) * 257)
    return Image.merge("RGB", colours).convert(mode)


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one byte of a file, or up to 32, or cut it short."""
    kind = rng.integers(3)
    if kind == 0:
        return data[: int(rng.integers(len(data)))]
    changed = bytearray(data)
    for _ in range(1 if kind == 1 else int(rng.integers(2, 33))):
        end = min(len(data), _HEADER_BYTES) if rng.random() < _HEADER_SHARE else len(data)
        changed[int(rng.integers(end))] ^= int(rng.integers(1, 256))
    return bytes(changed)


def damaged(files: list[bytes], count: int, seed: int, start: int = 0) -> Iterator[bytes]:
    """Damaged copies of `files` in turn: those from `start` to `count`, each the same for the same seed."""
    for number in range(start, count):
        yield damage(files[number % len(files)], np.random.default_rng([seed, number]))


def outcome(data: bytes) -> tuple[str, str]:
    """Decode a file: `decoded`, `refused`, or `escaped` with its error."""
    try:
        decode_image(data)
    except UnreadableImage:
        return "refused", ""
    except Exception as error:
        return "escaped", f"{type(error).__name__}: {error}"
    return "decoded", ""


def decode_damaged(files: list[bytes], count: int, seed: int) -> Outcomes:
    """Decode `count` damaged copies of `files` in processes of their own, a new one after each that was lost."""
    found = Outcomes()
    fork = multiprocessing.get_context("fork")  # the files are there at once
    while found.inputs < count:
        ours, theirs = fork.Pipe(duplex=False)
        worker = fork.Process(target=_work, args=(theirs, files, count, seed, found.inputs))
        worker.start()
        theirs.close()
        try:
            while found.inputs < count:
                if not ours.poll(PATIENCE_S):
                    found.add("hung", PATIENCE_S)
                    worker.kill()
                    break
                found.add(*ours.recv())
        except EOFError:
            found.add("crashed")
        worker.join()
    return found


def _work(results: Connection, files: list[bytes], count: int, seed: int, start: int) -> None:
    with tempfile.TemporaryFile() as terminal:
        os.dup2(terminal.fileno(), 2)
        for data in damaged(files, count, seed, start):
            before, began = os.fstat(2).st_size, time.process_time()
            kind, error = outcome(data)
            results.send((kind, time.process_time() - began, os.fstat(2).st_size - before, error))


def _written(name: str, mode: str) -> bytes | None:
    """The file of a picture, or None if Pillow does not write the mode in this format, or reads only its header."""
    try:
        data = _saved(name, mode)
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            warnings.simplefilter("ignore")
            if name != "EPS":  # which needs a program that is not there everywhere
                image.load()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return data


def _saved(name: str, mode: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture(mode).save(file, name, **options)
    return file.getvalue()


def main() -> None:
    """Print what came of each format's files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.damaged_pictures", description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="damaged files of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="FORMAT", help="formats, as Pillow calls them")
    options = parser.parse_args()
    columns = (
        "variants",
        "inputs",
        "decoded",
        "refused",
        "escaped",
        "crashed",
        "hung",
        "CPU ms at most",
        "printed (B)",
    )
    table = Table("format", *columns, title=f"damaged pictures, Pillow {Image.__version__}, seed {options.seed}")
    for column in table.columns[1:]:
        column.justify = "right"
    total = Outcomes()
    remarks = []
    for name, files in pictures().items():
        if options.only and name not in options.only:
            continue
        if not any(outcome(file)[0] == "decoded" for file in files):
            remarks.append(f"{name}: not read, intact files neither")
            continue
        found = decode_damaged(files, options.inputs, options.seed)
        table.add_row(name, *_cells(found, str(len(files))))
        for field, value in vars(found).items():
            if isinstance(value, int):
                setattr(total, field, getattr(total, field) + value)
        total.slowest_s = max(total.slowest_s, found.slowest_s)
        remarks += [f"{name}: {found.error}"] if found.error else []
    table.add_section()
    table.add_row("all", *_cells(total, ""))
    Console().print(table, *remarks, sep="\n")


def _cells(found: Outcomes, variants: str) -> list[str]:
    counts = (found.inputs, found.decoded, found.refused, found.escaped, found.crashed, found.hung)
    return [variants, *(f"{count:,}" for count in counts), f"{1000 * found.slowest_s:.0f}", f"{found.printed:,}"]


if __name__ == "__main__":
    main()
