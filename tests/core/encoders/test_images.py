"""Images that cannot be used say why, in a few words for the ledger; the others become RGB."""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.damaged_pictures import damaged, picture, pictures
from vip5core.encoders import UnreadableImage, decode_image, images, open_image
from vip5core.picture_formats import FORMATS, format_of


def encode(size: tuple[int, int], form: str = "PNG", mode: str = "RGB") -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return save(Image.fromarray(noise).convert(mode), form)


def png_that_claims(width: int, height: int) -> bytes:
    """A small PNG whose header names another size."""
    data = bytearray(encode((8, 8)))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def save(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode_image(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"<html>not found</html>", "not an image"),
        (encode((40, 40))[:200], "damaged PNG"),
        (encode((40, 40))[:20], "damaged PNG: Truncated File Read"),
        (b"\xff\xd8\xff" + bytes(40), "damaged JPEG: its header cannot be read"),
        (encode((40, 40), "JPEG")[:700], "damaged JPEG"),
        (encode((40, 40), "GIF", "P")[:1500], "damaged GIF"),
        (encode((1, 1)), "1 x 1 px: sides must be 4 to 10000 px"),
        (encode((200, 2)), "200 x 2 px"),
        (png_that_claims(20_000, 8), "20000 x 8 px"),
        (encode((804, 8)), "804 x 8 px: one side must be at most 100 times the other"),
        (png_that_claims(20_000, 20_000), "too many pixels"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC is not read: convert it to JPEG or PNG"),
    ],
    ids=[
        *("zero bytes", "html", "cut png", "png of 20 bytes", "jpeg of zeros", "cut jpeg", "cut gif", "1 px", "flat"),
        *("20,000 px wide", "line", "bomb", "heic"),
    ],
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


@pytest.mark.slow
def test_an_avif_with_one_wrong_byte_is_refused() -> None:
    """Its decoder raises `RuntimeError`; in which places, depends on the release of the encoder."""
    data = save(Image.linear_gradient("L").convert("RGB").resize((64, 48)), "AVIF")
    assert decode_image(data).size == (64, 48)
    places = [place for place in range(len(data)) if _raises_runtime_error(data, place)]
    assert places
    for place in places:
        assert reason(_flipped(data, place)).startswith("damaged AVIF: ")


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def _raises_runtime_error(data: bytes, place: int) -> bool:
    try:
        Image.open(io.BytesIO(_flipped(data, place))).load()
    except RuntimeError:
        return True
    except Exception:
        return False
    return False


@pytest.mark.slow
@pytest.mark.parametrize("name", [form.name for form in FORMATS])
def test_damaged_pictures_are_decoded_or_refused(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A sample of `python -m benchmarks.damaged_pictures`; the number of the input is the seed of its damage."""
    modes, reasons = [], []
    for data in damaged(pictures()[name], 120, seed=7):
        try:
            modes.append(decode_image(data).mode)
        except UnreadableImage as error:
            reasons.append(str(error))
    assert set(modes) == {"RGB"}
    assert len(reasons) > 20
    assert [reason for reason in reasons if not reason or "\n" in reason or len(reason) > 400] == []
    assert capfd.readouterr() == ("", "")


def test_a_format_that_this_pillow_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode((8, 8), "AVIF")
    monkeypatch.delitem(Image.OPEN, "AVIF")
    assert reason(data) == "AVIF is not read by the Pillow installed here"


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyError(3), AssertionError(), RecursionError("deep")])
def test_whatever_a_decoder_raises_is_a_reason(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert reason(encode((8, 8))) == f"damaged PNG: {str(error) or type(error).__name__}"


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, SystemExit])
def test_memory_and_interrupts_pass(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(error):
        decode_image(encode((8, 8)))


def test_a_header_that_claims_a_gigantic_image_is_refused_before_memory_is_taken() -> None:
    data = bytearray(encode((40, 40), "BMP"))
    data[18:26] = struct.pack("<ii", 9_000, 12_000)
    assert reason(bytes(data)) == "9000 x 12000 px: sides must be 4 to 10000 px"
    data[18:26] = struct.pack("<ii", 2_000_000, 2_000_000)
    assert reason(bytes(data)) == "too many pixels"


def test_an_icon_that_holds_a_larger_picture_than_it_says_is_refused() -> None:
    inner = save(Image.new("L", (12_000, 200)), "PNG")
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 64, 64, 0, 0, 1, 32, len(inner), 22) + inner
    assert reason(icon) == "12000 x 200 px: sides must be 4 to 10000 px"


def test_a_jpeg_of_thousands_of_scans_is_refused_and_one_of_many_is_not() -> None:
    """Each scan costs a pass over the whole image."""
    data = save(picture("RGB"), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert decode_image(data[:-2] + 400 * scan + data[-2:]).size == (64, 48)
    assert reason(data[:-2] + 5000 * scan + data[-2:]) == "more than 500 scans"


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff writes there itself, past Python, and only what it writes is discarded."""
    data = bytearray(save(picture("RGB"), "TIFF", compression="tiff_lzw"))
    data[60:90] = b"\xff" * 30
    with pytest.raises(OSError):
        Image.open(io.BytesIO(data)).load()
    assert capfd.readouterr().err
    assert reason(bytes(data)).startswith("damaged TIFF")
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "afterwards"


def test_the_terminal_comes_back_after_threads_have_decoded(capfd: pytest.CaptureFixture[str]) -> None:
    data = save(picture("RGB"), "TIFF", compression="tiff_lzw")
    threads = [threading.Thread(target=lambda: [decode_image(data) for _ in range(40)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_a_process_without_a_terminal_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def dup(_: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(images.os, "dup", dup)
    assert decode_image(encode((8, 8), "TIFF")).size == (8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_format_is_known_by_its_first_bytes(form) -> None:
    for data in pictures()[form.name]:
        assert format_of(data) is form


@pytest.mark.parametrize("text", ["BM is short", "P5 is not a picture", "icon", "RIFF....WAVE", "II*", "<svg/>", "\n"])
def test_texts_are_no_images(text: str) -> None:
    assert format_of(text.encode()) is None
    assert reason(text.encode()) == "not an image"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_every_kind_of_valid_image_becomes_rgb(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "image.bin"  # the name says nothing, the content does
    path.write_bytes(encode((30, 20), "JPEG" if mode == "CMYK" else "PNG", mode))
    image = open_image(path)
    assert (image.mode, image.size) == ("RGB", (30, 20))


GREY = (np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21)[:, ::-1].copy()


@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B"), ("JPEG2000", "I;16"), ("PPM", "I;16")]
)
def test_grey_of_16_bits_keeps_its_levels(form: str, mode: str) -> None:
    stored = GREY.astype(">u2") if mode == "I;16B" else GREY
    pixels = np.asarray(decode_image(save(Image.frombytes(mode, (64, 48), stored.tobytes()), form)))
    expected = np.rint(GREY / 257).astype(np.uint8)
    np.testing.assert_array_equal(pixels, np.stack([expected] * 3, axis=-1))
    assert len(np.unique(pixels)) > 250


def test_grey_of_12_bits_keeps_its_levels() -> None:
    """As scanners write it; Pillow reads it and does not scale it."""
    levels = np.arange(0, 4096, 64, dtype=np.uint16)
    pairs = np.tile(levels, 8).reshape(-1, 2).astype(np.uint32)
    packed = b"".join(int(a << 12 | b).to_bytes(3, "big") for a, b in pairs.tolist())
    pixels = np.asarray(decode_image(tiff(packed, bits=12, white=1)))[..., 0]
    np.testing.assert_array_equal(pixels, np.tile(np.rint(levels * (255 / 4095)), (8, 1)))


def test_grey_of_16_bits_whose_white_is_0_is_no_negative() -> None:
    levels = np.arange(0, 65536, 1024, dtype="<u2")
    shown = [np.asarray(decode_image(tiff(np.tile(levels, 8).tobytes(), 16, white)))[0, :, 0] for white in (0, 1)]
    np.testing.assert_array_equal(shown[1], np.rint(levels / 257))
    np.testing.assert_allclose(shown[0], 255.0 - shown[1], atol=1)


def tiff(pixels: bytes, bits: int, white: int) -> bytes:
    """A grey image of 64 x 8, not compressed; `white` is 1 if black is 0, else 0 (PhotometricInterpretation)."""
    tags = [(256, 64), (257, 8), (258, bits), (259, 1), (262, white), (273, 8), (277, 1), (278, 8), (279, len(pixels))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    ("mode", "kind"), [("I", "signed or 32-bit integers"), ("F", "floating-point numbers")], ids=["integers", "floats"]
)
def test_grey_without_a_fixed_range_is_refused(mode: str, kind: str) -> None:
    data = save(picture("L").convert(mode), "TIFF")
    assert reason(data) == f"TIFF of {kind}, whose range is not known: save it with 8 or 16 bits"


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO"])
def test_of_several_pictures_the_first_is_used(form: str) -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    image = decode_image(save(first, form, save_all=True, append_images=[second]))
    assert np.abs(np.asarray(image, dtype=int) - [255, 0, 0]).max() < 12


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")  # by open_clip's own conversion
@pytest.mark.slow  # imports open_clip
def test_transparency_and_orientation_are_as_in_the_preprocessing_of_clip() -> None:
    """open_clip converts by `convert("RGB")`: what is transparent keeps its colour, and nothing is turned."""
    from open_clip.transform import _convert_to_rgb

    clear = Image.new("RGBA", (20, 10), (0, 200, 0, 0))
    palette = save(picture("P"), "PNG", transparency=bytes(range(256)))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    turned = save(picture("RGB"), "JPEG", exif=exif)
    for data in (save(clear, "PNG"), save(clear, "WEBP", lossless=True, exact=True), palette, turned):
        expected = _convert_to_rgb(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(np.asarray(decode_image(data)), np.asarray(expected))
    assert decode_image(save(clear, "PNG")).getpixel((0, 0)) == (0, 200, 0)
    assert decode_image(turned).size == (64, 48)
