"""The images of minimart: a shape in a colour with a pattern, drawn with jitter so that no two are alike."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {
    "crimson": (205, 30, 50),
    "orange": (245, 135, 20),
    "golden": (235, 200, 30),
    "green": (40, 160, 70),
    "teal": (20, 165, 165),
    "blue": (40, 80, 210),
    "violet": (135, 60, 190),
    "black": (35, 35, 40),
}
SHAPES = ("round", "square", "triangular", "starry", "hollow", "crossed")
PATTERNS = ("plain", "striped", "dotted", "checked")

SIZE = 96  # px, width and height


def draw(shape: str, colour: str, pattern: str, rng: np.random.Generator) -> bytes:
    """Draw an image of `SIZE` × `SIZE` as PNG bytes.

    The look is `shape`, `colour` and `pattern`; position, scale, rotation, light and noise are random.
    """
    ground = rng.integers(225, 250, 3)
    canvas = np.broadcast_to(ground, (SIZE, SIZE, 3)).astype(np.float32)
    mask = np.asarray(_draw_mask(shape, rng), dtype=np.float32)[..., None] / 255.0
    light = rng.uniform(0.85, 1.1)
    ink = np.array(COLOURS[colour], dtype=np.float32) * light
    weave = _draw_weave(pattern, rng)[..., None]
    paint = ink * weave + (255.0 - 0.25 * (255.0 - ink)) * (1.0 - weave)
    image = canvas * (1.0 - mask) + paint * mask + rng.normal(0.0, 4.0, (SIZE, SIZE, 3))
    buffer = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _draw_mask(shape: str, rng: np.random.Generator) -> Image.Image:
    """The shape in white on black, drawn at twice the size and shrunk for smooth edges."""
    side = 2 * SIZE
    image = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(image)
    x, y = side / 2 + rng.uniform(-0.06, 0.06, 2) * side
    radius = rng.uniform(0.30, 0.40) * side
    turn = rng.uniform(-0.3, 0.3)

    def around(corners: int, radii: tuple[float, ...] = (1.0,), start: float = 0.0) -> list[tuple[float, float]]:
        angles = [turn + start + 2 * math.pi * k / corners for k in range(corners)]
        return [
            (
                x + radius * radii[k % len(radii)] * math.sin(a),
                y - radius * radii[k % len(radii)] * math.cos(a),
            )
            for k, a in enumerate(angles)
        ]

    if shape in ("round", "hollow"):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        if shape == "hollow":
            hole = 0.5 * radius
            pen.ellipse((x - hole, y - hole, x + hole, y + hole), fill=0)
    elif shape == "square":
        pen.polygon(around(4, start=math.pi / 4), fill=255)
    elif shape == "triangular":
        pen.polygon(around(3), fill=255)
    elif shape == "starry":
        pen.polygon(around(10, (1.1, 0.45)), fill=255)
    elif shape == "crossed":
        for tilt in (0.0, math.pi / 2):
            ends = [
                turn + tilt + 0.3,
                turn + tilt - 0.3,
                turn + tilt + math.pi + 0.3,
                turn + tilt + math.pi - 0.3,
            ]
            pen.polygon([(x + radius * math.sin(a), y - radius * math.cos(a)) for a in ends], fill=255)
    else:
        raise ValueError(f"no such shape: {shape}")
    return image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def _draw_weave(pattern: str, rng: np.random.Generator) -> np.ndarray:
    """How much ink each pixel takes, 0 to 1. Shape: [SIZE, SIZE]."""
    period = rng.uniform(13.0, 17.0)
    phase = rng.uniform(0.0, period, 2)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    across, down = (columns + phase[0]) % period / period, (rows + phase[1]) % period / period
    if pattern == "plain":
        return np.ones((SIZE, SIZE), dtype=np.float32)
    if pattern == "striped":
        return (across < 0.5).astype(np.float32)
    if pattern == "dotted":
        return ((across - 0.5) ** 2 + (down - 0.5) ** 2 > 0.09).astype(np.float32)
    if pattern == "checked":
        return ((across < 0.5) == (down < 0.5)).astype(np.float32)
    raise ValueError(f"no such pattern: {pattern}")
