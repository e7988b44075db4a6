"""How fast encoders were where images were encoded: kept beside an encoder's features, shown by `vip5 encoders`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from vip5core.encoders import EncoderChoice
from vip5core.home import Home
from vip5core.storage import atomic_file

_FILE = "speed.json"


class EncoderSpeed(BaseModel):
    """What encoding took, without reading and decoding the images.

    Attributes:
        name: The encoder.
        weights: Its weights, of one of the paper's.
        device: What it ran on: a GPU, or one thread of a CPU.
        images: The number of images.
        seconds: The time of one process for them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weights: str
    device: str
    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        return self.images / max(self.seconds, 1e-9)


def write_speed(choice: EncoderChoice, images: int, seconds: float, on_gpu: bool, home: Home) -> None:
    """Keep the speed of an encoder; the newest measurement stays."""
    device = "GPU" if on_gpu else "1 CPU"
    speed = EncoderSpeed(name=choice.name, weights=choice.weights, device=device, images=images, seconds=seconds)
    with atomic_file(home.shards(choice.fingerprint) / _FILE) as aside:
        aside.write_text(speed.model_dump_json(indent=2), "utf-8")


def speeds(home: Home) -> list[EncoderSpeed]:
    """All speeds that were measured, the newest last."""
    files = sorted(home.shards("any").parent.glob(f"*/{_FILE}"), key=lambda path: path.stat().st_mtime)
    return [speed for speed in map(_read, files) if speed is not None]


def _read(path: Path) -> EncoderSpeed | None:
    """None for a file of another version."""
    try:
        return EncoderSpeed.model_validate_json(path.read_text("utf-8"))
    except (OSError, ValidationError):
        return None
