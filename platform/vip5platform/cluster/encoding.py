"""The two steps of feature extraction as they run in Ray's workers, which therefore import little before they start."""

from __future__ import annotations

import json
import time

import numpy as np

from vip5core.data.feature_store import write_shard
from vip5core.encoders import EncoderChoice, Geometry, Preparation, UnreadableImage, decode_image, load_encoder
from vip5core.errors import UserError
from vip5core.fingerprint import sha256_bytes
from vip5core.home import Home


def decode(batch: dict[str, np.ndarray], geometry: Geometry, home: Home) -> dict[str, np.ndarray]:
    """Decode a batch of image files into pixels.

    `reason` says why the bytes of an image cannot be decoded, which is stored for good; `problem` says that a file is
    missing or differs from the prepared dataset, which the user has to correct.
    """
    prepare = Preparation(geometry)
    pixels = np.zeros((len(batch["path"]), 3, *geometry.crop), dtype=np.uint8)
    reasons, problems = [""] * len(pixels), [""] * len(pixels)
    for row, (path, digest) in enumerate(zip(batch["path"], batch["image_sha256"], strict=True)):
        try:
            data = home.fetch(home.path(path)).read_bytes()
            if sha256_bytes(data) != digest:
                problems[row] = f"image {path!r} changed after its dataset was prepared: prepare the dataset again"
                continue
            pixels[row] = prepare(decode_image(data))
        except OSError as error:
            problems[row] = f"image {path!r} cannot be read ({error.strerror}): does every node see --home?"
        except UnreadableImage as error:
            reasons[row] = str(error)
    return {
        "image_sha256": batch["image_sha256"],
        "encoders": batch["encoders"],
        "pixels": pixels,
        "reason": np.array(reasons, dtype=object),
        "problem": np.array(problems, dtype=object),
    }


class EncodeActor:
    """An actor that holds the encoders and writes the features of each batch to their shards."""

    def __init__(self, choices: list[EncoderChoice], home: Home, shards: list[str], on_gpu: bool) -> None:
        import torch  # late, because decoding tasks import this module too

        if not on_gpu:
            torch.set_num_threads(1)
        self.home = home
        self.shards = [home.path(name) for name in shards]
        self.problem = ""
        try:
            self.encoders = [load_encoder(choice, "cuda" if on_gpu else "cpu") for choice in choices]
        except UserError as error:  # if raised here, Ray would report a crashed actor
            self.problem = str(error)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        problems = np.array([self.problem or problem for problem in batch["problem"]], dtype=object)
        seconds = np.zeros((len(problems), 0))
        if not self.problem:
            seconds = self._encode(batch, [set(json.loads(text)) for text in batch["encoders"]])
        return {"image_sha256": batch["image_sha256"], "problem": problems, "seconds": seconds}

    def _encode(self, batch: dict[str, np.ndarray], wanted: list[set[int]]) -> np.ndarray:
        """Write the features. Returns the seconds of each image with each encoder; shape [images, encoders]."""
        seconds = np.zeros((len(batch["image_sha256"]), len(self.encoders)))
        usable = [not problem for problem in batch["problem"]]
        readable = np.array([not reason for reason in batch["reason"]])
        for place, encoder in enumerate(self.encoders):
            rows = np.flatnonzero([fine and place in places for fine, places in zip(usable, wanted, strict=True)])
            if not len(rows):
                continue
            features: list[np.ndarray | None] = [None] * len(rows)
            good = np.flatnonzero(readable[rows])
            if len(good):
                start = time.perf_counter()
                encoded = encoder.encode(batch["pixels"][rows[good]])
                seconds[rows[good], place] = (time.perf_counter() - start) / len(good)
                for row, feature in zip(good, encoded, strict=True):
                    features[row] = feature
            hashes = [str(batch["image_sha256"][row]) for row in rows]
            reasons = [str(batch["reason"][row]) or None for row in rows]
            self.home.publish(write_shard(self.shards[place], hashes, features, reasons))
        return seconds
