"""Vectors of items from what they say or look like, for ids that are made of it; no interaction is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from vip5core.data.own_features import read_by_raw_id
from vip5core.encoders import (
    EncoderChoice,
    OwnFeatures,
    Preparation,
    UnreadableImage,
    decode_image,
    encode_texts,
    load_encoder,
)
from vip5core.errors import UserError
from vip5core.id_scheme_names import IdSchemeName

#: The most directions that are kept. Of wide vectors, which lie about equally far from one another, k-means puts nearly
#: all into one cluster after the first level: of MovieLens-100K's texts, 70 % of the items shared all codes with 128.
_WIDTH = 32
_IMAGES_AT_A_TIME = 64


def content_vectors(scheme: IdSchemeName, items: pd.DataFrame, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of the items that have content: their main directions about the mean, each of length 1.

    Args:
        scheme: which content, and what reads it.
        items: a table with `vip5core.data.raw.ITEM_COLUMNS`.
        seed: the seed of the decomposition into directions.

    Returns:
        Which items have content (shape: [items], bool), and their vectors (shape: [those items, width]).

    Raises:
        UserError: if an encoder cannot be loaded.
    """
    found = _READERS[scheme.base](scheme, items, seed)
    has = np.array([vector is not None for vector in found])
    if not has.any():
        return has, np.zeros((0, 1))
    vectors = np.array([vector for vector in found if vector is not None], dtype=np.float64)
    vectors = _reduce(vectors - vectors.mean(axis=0), seed)
    return has, vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _read_texts(scheme: IdSchemeName, items: pd.DataFrame, seed: int) -> list[np.ndarray | None]:
    """Title, categories and description of each item, by a model or by the words in them."""
    texts = [
        " ".join([title, *categories, description])
        for title, categories, description in zip(
            items["title"], items["categories"], items["description"], strict=True
        )
    ]
    rows = [row for row, text in enumerate(texts) if re.search(r"\w", text)]
    written = [texts[row] for row in rows]
    found: list[np.ndarray | None] = [None] * len(items)
    if not written:
        return found
    vectors = encode_texts(scheme.encoder.removeprefix("hf:"), written) if scheme.encoder else _weigh(written, seed)
    for row, vector in zip(rows, vectors, strict=True):
        found[row] = vector
    return found


def _weigh(texts: list[str], seed: int) -> np.ndarray:
    """Words weighted by TF-IDF, and the main directions of these weights: latent semantic analysis.

    Shape: [texts, width].
    """
    weights = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts)
    return _reduce(weights, seed) if weights.shape[1] > _WIDTH else weights.toarray()


def _reduce(rows: np.ndarray | csr_array, seed: int) -> np.ndarray:
    """The main directions of wide vectors; others as they are. Shape: [rows, width] to [rows, at most `_WIDTH`]."""
    if isinstance(rows, np.ndarray) and rows.shape[1] <= _WIDTH:
        return rows
    with threadpool_limits(1):  # splitting sums over threads changes their last digits
        reduced: np.ndarray = TruncatedSVD(_WIDTH, random_state=seed).fit_transform(rows)
    return reduced


def _read_images(scheme: IdSchemeName, items: pd.DataFrame, seed: int) -> list[np.ndarray | None]:
    """The feature of each item's first picture, or what the user's own files have for it."""
    del seed
    choice = EncoderChoice(scheme.encoder, scheme.weights)
    if isinstance(choice.source, OwnFeatures):
        vectors = read_by_raw_id(choice.source)
        return [vectors.get(raw_id) for raw_id in items["raw_id"]]
    found: list[np.ndarray | None] = [None] * len(items)
    if not items["image"].notna().any():
        return found
    try:
        encoder, prepare = load_encoder(choice), Preparation.of(choice)
    except UserError as error:
        raise UserError(f"id scheme {str(scheme)!r}, which is semantic:image@ENCODER=WEIGHTS: {error}") from None
    for start in range(0, len(items), _IMAGES_AT_A_TIME):
        images = items["image"].iloc[start : start + _IMAGES_AT_A_TIME]
        pixels = {row: made for row, image in enumerate(images, start) if (made := _pixels(image, prepare)) is not None}
        if pixels:
            features = encoder.encode(np.stack(list(pixels.values())))
            for row, feature in zip(pixels, features, strict=True):
                found[row] = feature
    return found


def _pixels(image: object, prepare: Preparation) -> np.ndarray | None:
    """The pixels of a file's path or bytes, as the encoder reads them; None if there is no image that can be read."""
    if not isinstance(image, Path | bytes):
        return None
    try:
        return prepare(decode_image(image if isinstance(image, bytes) else image.read_bytes()))
    except (OSError, UnreadableImage):  # the ledger of features says why
        return None


_READERS: dict[str, Callable[[IdSchemeName, pd.DataFrame, int], list[np.ndarray | None]]] = {
    "semantic:text": _read_texts,
    "semantic:image": _read_images,
}
