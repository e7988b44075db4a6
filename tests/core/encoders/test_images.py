"""Images that cannot be used say why, in a few words for the ledger."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vip5core.encoders import UnreadableImage, open_image


def encode(size: tuple[int, int], form: str = "PNG", mode: str = "RGB") -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise) if size[0] < 1000 else Image.new("RGB", size)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not an image"),
        (encode((40, 40))[:200], "damaged"),
        (encode((40, 40), "JPEG")[:700], "damaged"),
        (encode((40, 40), "GIF", "P")[:1500], "damaged"),
        (encode((1, 1)), "1 x 1 px: sides must be 4 to 10000 px"),
        (encode((200, 2)), "200 x 2 px"),
        (encode((20_000, 8)), "20000 x 8 px"),
        (encode((20_000, 20_000), "PNG", "1"), "too many pixels"),
    ],
    ids=["zero bytes", "html", "cut png", "cut jpeg", "cut gif", "1 px", "flat", "20,000 px wide", "bomb"],
)
def test_the_reason_is_named(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage) as caught:
        open_image(path)
    assert str(caught.value).startswith(reason)


def test_an_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="cannot be read: No such file"):
        open_image(tmp_path / "missing.jpg")
    with pytest.raises(UnreadableImage, match="cannot be read: Is a directory"):
        open_image(tmp_path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_every_kind_of_valid_image_becomes_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "image.bin"  # the name says nothing, the content does
    path.write_bytes(encode((30, 20), "JPEG" if mode == "CMYK" else "PNG", mode))
    image = open_image(path)
    assert (image.mode, image.size) == ("RGB", (30, 20))
