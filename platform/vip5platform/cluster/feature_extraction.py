"""Extracts image features with Ray Data: tasks decode images for a pool of encoders, and each image is encoded once.

    images ─▶ decode (tasks: open, resize, crop; uint8) ─▶ encode (actors: every encoder that lacks it) ─▶ shards

Each actor holds all encoders of the study that want the same pixels, so that an image is decoded once for all of them.
Batches are written to content-addressed shards as they are computed, so nothing is computed twice if the extraction is
interrupted. Features of the user's own are read from their files instead.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray.data  # here, before Ray is silenced: the import sets the level of its loggers

from vip5core.data.dataset import Dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.data.feature_store import assemble, known_images
from vip5core.data.own_features import build_own_features
from vip5core.encoders import EncoderChoice, Geometry, OwnFeatures
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.progress import Progress, no_progress
from vip5core.storage import writable_folder
from vip5platform.cluster.encoder_speed import write_speed
from vip5platform.cluster.encoding import EncodeActor, decode
from vip5platform.cluster.feature_stores import store_folder
from vip5platform.cluster.ray_cluster import quiet_ray
from vip5platform.cluster.resources import ClusterResources

#: Images per batch, and images per actor on CPUs (an actor takes seconds to start).
_BATCH, _IMAGES_PER_ACTOR = 64, 256
#: CPU shares of decoding tasks and of encoders, which do most of the work.
_DECODE_CPU, _ENCODE_CPU = 0.25, 0.75


def extract(
    dataset: Dataset,
    choices: Sequence[FeatureChoice],
    home: Home,
    resources: ClusterResources,
    progress: Progress = no_progress,
    gpus_per_actor: float | None = None,
) -> dict[FeatureChoice, Path]:
    """Build the feature stores of a dataset, one per choice, computing missing features only.

    Choices of one encoder that differ in the pictures of an item share what it makes of each picture.

    Args:
        dataset: The dataset with the images.
        choices: The encoders, each with what of an item's pictures makes its feature.
        home: The home whose `features/` the stores are written to.
        resources: The resources of the Ray session.
        progress: Called with the number of images done and the total.
        gpus_per_actor: The share of a GPU for each actor; by default a whole GPU if the cluster has any.

    Returns:
        The folder of each choice's store; choices that come to the same share it.

    Raises:
        UserError: For weights or features that cannot be loaded, images that changed after the dataset was prepared, or
            a folder that cannot be written.
    """
    stores = {choice: store_folder(dataset, choice, home) for choice in choices}
    missing = {stores[choice]: choice.on(dataset) for choice in choices if not home.fetch(stores[choice]).is_dir()}
    if not missing:
        return stores
    writable_folder(home.features, "feature folder")
    needed: dict[EncoderChoice, set[str]] = {}
    for store, choice in missing.items():
        if isinstance(choice.encoder.source, OwnFeatures):
            build_own_features(dataset, choice.encoder.source, _record(choice.encoder), store)
        else:
            hashes = dataset.pictures(choice.item_images)["image_sha256"]
            needed.setdefault(choice.encoder, set()).update(hashes)
    shards = {encoder: home.shards(encoder.fingerprint) for encoder in needed}
    for folder in shards.values():
        writable_folder(folder, "feature folder")
    alike: dict[Geometry, dict[EncoderChoice, set[str]]] = {}
    for encoder, hashes_of in needed.items():
        alike.setdefault(encoder.model.preprocessing().geometry, {})[encoder] = hashes_of
    with quiet_ray():
        for geometry, same in alike.items():
            _encode_missing(dataset, same, geometry, home, resources, progress, gpus_per_actor)
    for store, choice in missing.items():
        if choice.encoder in shards:
            there = home.fetch_all(shards[choice.encoder])
            assemble(dataset, _record(choice.encoder), there, store, choice.item_images)
        home.publish(store)
    return stores


def _record(encoder: EncoderChoice) -> dict[str, str]:
    return {"name": encoder.name, "weights": Path(encoder.weights).name, "fingerprint": encoder.fingerprint}


def _encode_missing(
    dataset: Dataset,
    needed: Mapping[EncoderChoice, Collection[str]],
    geometry: Geometry,
    home: Home,
    resources: ClusterResources,
    progress: Progress,
    gpus_per_actor: float | None,
) -> None:
    """Encode the images of `dataset` that each encoder needs (by their sha256) and its shards lack."""
    choices = list(needed)
    shards = [home.shards(choice.fingerprint) for choice in choices]
    lacked = [
        set(needed[choice]) - known_images(home.fetch_all(folder))
        for choice, folder in zip(choices, shards, strict=True)
    ]
    images = dataset.pictures("mean").drop_duplicates("image_sha256")
    rows = []
    for image, digest in zip(images["image"], images["image_sha256"], strict=True):
        wanted = [place for place, hashes in enumerate(lacked) if digest in hashes]
        if wanted:
            rows.append(
                {"image_sha256": digest, "path": home.name(dataset.folder / image), "encoders": json.dumps(wanted)}
            )
    if not rows:
        return
    progress(0, len(rows))
    gpus = gpus_per_actor if gpus_per_actor is not None else float(resources.gpus > 0)
    if gpus:
        actors = max(1, int(resources.gpus / gpus))
        encode_resources: dict[str, Any] = {"num_gpus": gpus, "num_cpus": 1}
    else:
        actors = max(1, min(int(resources.cpus), math.ceil(len(rows) / _IMAGES_PER_ACTOR)))
        encode_resources = {"num_cpus": _ENCODE_CPU}
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # More blocks than actors keep all actors busy; losing a block of a few batches is cheap.
    blocks = max(1, min(math.ceil(len(rows) / _BATCH), 16 * actors))
    encoded = (
        ray.data.from_items(rows, override_num_blocks=blocks)
        .map_batches(
            functools.partial(decode, geometry=geometry, home=home),
            batch_size=_BATCH,
            batch_format="numpy",
            num_cpus=1 if gpus else _DECODE_CPU,
        )
        .map_batches(
            EncodeActor,
            fn_constructor_args=([choice.anywhere() for choice in choices], home, [*map(home.name, shards)], gpus > 0),
            batch_size=_BATCH,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=actors),
            **encode_resources,
        )
    )
    done, counts, seconds = 0, np.zeros(len(choices), int), np.zeros(len(choices))
    for batch in encoded.iter_batches(batch_size=None, batch_format="numpy"):
        problems = [str(problem) for problem in batch["problem"] if problem]
        if problems:
            raise UserError(problems[0])
        done += len(batch["image_sha256"])
        taken = np.asarray(batch["seconds"])
        counts, seconds = counts + (taken > 0).sum(0), seconds + taken.sum(0)
        progress(done, len(rows))
    for choice, count, total in zip(choices, counts.tolist(), seconds.tolist(), strict=True):
        if count:
            write_speed(choice, count, total, gpus > 0, home)
