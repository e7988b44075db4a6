"""Probes of the image tokens: does the mapping network carry the image into the token space at all?

Two measurements on a trained mapping network, each taken on its outputs (*tokens*, all tokens of an image concatenated)
and, for reference, on its inputs (*features*: CLIP's, scaled, and shuffled where the trial shuffles images):

- **attributes**: how well does a linear classifier predict the shape, colour, pattern or category of an item?
  Multinomial logistic regression on standardised inputs, cross-validated.
- **neighbours**: how many of an item's nearest neighbours by cosine among the features are so among the tokens too?

    probe/{attribute}     accuracy on tokens in %; with _clip: on features; with _chance: share of the largest class
    probe/neighbours      shared neighbours in %; with _chance: expected for neighbours drawn at random

A probe is left out where it cannot be run (no such column, a single class, too few items). An untrained mapping network
preserves much of the image too: a result above chance does not prove that training achieved it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from vip5core.data.dataset import Dataset
from vip5core.model import VIP5

#: Columns of a synthetic source's `truth/items.parquet` that only images show.
LOOKS = ("shape", "colour", "pattern")
FOLDS, NEIGHBOURS = 5, 10
#: The most items, of which a sample is drawn, and classes, of which the largest are kept: a probe then takes at most a
#: minute on one core.
MOST_ITEMS, MOST_CLASSES = 3_000, 20
#: The most steps of the solver: where classes cannot be separated it would take thousands, for the same result.
_STEPS = 100


def probe(model: VIP5, dataset: Dataset, has_image: np.ndarray) -> tuple[dict[str, float], pd.DataFrame]:
    """Probe the mapping network of `model` on the items that have an image, or on a fixed sample of them.

    Args:
        model: A model with image features.
        dataset: The dataset of the items, for their attributes.
        has_image: Whether each item has a feature. Shape: [items + 1], bool.

    Returns:
        The metrics, and their rows as in `probe_tokens`.
    """
    assert model.mapping is not None, "a text-only model has no image tokens"
    assert model.features is not None, "image tokens need features"
    items = np.flatnonzero(has_image)
    if len(items) > MOST_ITEMS:  # the same ones in every trial
        items = np.sort(np.random.default_rng(len(items)).choice(items, MOST_ITEMS, replace=False))
    with torch.inference_mode():
        features = model.features[torch.from_numpy(items).to(model.device)]
        tokens = model.mapping(features).flatten(1)  # [items, n * D]
    return probe_tokens(tokens.float().cpu().numpy(), features.float().cpu().numpy(), items, attributes(dataset, items))


def attributes(dataset: Dataset, items: np.ndarray) -> dict[str, pd.Series]:
    """The attributes of `items` that can be probed: a label per item, missing where it is unknown.

    These are `LOOKS` in a synthetic source, and `category`: the first level of the items' categories with more than one
    class (if all items are of one department, the level below it).
    """
    known: dict[str, pd.Series] = {}
    planted = dataset.folder / "truth" / "items.parquet"
    if planted.is_file():
        truth = pd.read_parquet(planted)
        truth = truth[truth["id"].notna()].set_index("id")
        known = {name: truth[name].reindex(items) for name in LOOKS if name in truth}
    paths = dataset.items["categories"].iloc[items - 1]
    for level in range(max(map(len, paths), default=0)):
        labels = pd.Series([path[level] if len(path) > level else None for path in paths], dtype=object)
        if len(_classes(labels)):
            known["category"] = labels
            break
    return {name: labels.reset_index(drop=True) for name, labels in known.items()}


def probe_tokens(
    tokens: np.ndarray, features: np.ndarray, items: np.ndarray, labels: Mapping[str, pd.Series]
) -> tuple[dict[str, float], pd.DataFrame]:
    """Run the probes on arrays.

    Args:
        tokens: The outputs of the mapping network. Shape: [items, n * D].
        features: The inputs of the mapping network. Shape: [items, feature width].
        items: The items' numbers. Shape: [items].
        labels: The labels of each attribute, one per item. Shape: [items].

    Returns:
        The metrics in %, and one row per item and probe of the tokens, for paired tests: task `probe`, template (the
        attribute, or `neighbours`), split `test`, user 0, item, value (of an attribute 100 if predicted correctly, else
        0; of neighbours the shared ones in %).
    """
    metrics: dict[str, float] = {}
    frames: list[pd.DataFrame] = []
    for name, given in labels.items():
        classes = _classes(given.reset_index(drop=True))
        if not len(classes):
            continue
        rows, codes = classes.index.to_numpy(), pd.factorize(classes, sort=True)[0]
        correct = 100.0 * predict_correctly(tokens[rows], codes)
        metrics[f"probe/{name}"] = float(correct.mean())
        metrics[f"probe/{name}_clip"] = 100.0 * float(predict_correctly(features[rows], codes).mean())
        metrics[f"probe/{name}_chance"] = 100.0 * float(np.bincount(codes).max()) / len(codes)
        frames.append(_rows(name, items[rows], correct))
    if len(items) > NEIGHBOURS + 1:  # otherwise all items are neighbours of each other
        shared = shared_neighbours(tokens, features)
        metrics["probe/neighbours"] = float(shared.mean())
        metrics["probe/neighbours_chance"] = 100.0 * NEIGHBOURS / (len(items) - 1)
        frames.append(_rows("neighbours", items, shared))
    return metrics, pd.concat(frames, ignore_index=True) if frames else _rows("", items[:0], np.empty(0))


def predict_correctly(inputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Whether a classifier trained on other items predicts the class of each item correctly.

    There are five stratified folds, the same for every trial and seed.

    Args:
        inputs: The inputs of the classifier. Shape: [items, width].
        classes: The class of each item; at least two classes, with at least `FOLDS` items each. Shape: [items].

    Returns:
        Shape: [items], bool.
    """
    # scikit-learn takes a second to import, and most trials are not probed.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_STEPS))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # see _STEPS
        return cross_val_predict(classifier, inputs, classes, cv=folds) == classes


def shared_neighbours(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The share of each item's `NEIGHBOURS` nearest items by cosine that two representations have in common.

    Args:
        one: The first representation, of more than `NEIGHBOURS` items. Shape: [items, width].
        other: The second representation. Shape: [items, other width].

    Returns:
        The shares in %. Shape: [items].
    """
    return 100.0 * (_neighbours(one) & _neighbours(other)).sum(axis=1) / NEIGHBOURS


def _neighbours(vectors: np.ndarray) -> np.ndarray:
    """Shape: [items, width] to [items, items], True where the column is a neighbour of the row."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argpartition(-similarity, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    chosen = np.zeros(similarity.shape, dtype=bool)
    np.put_along_axis(chosen, nearest, True, axis=1)
    return chosen


def _classes(labels: pd.Series) -> pd.Series:
    """The labels of the classes with an item for every fold; none if fewer than two such classes exist."""
    sizes = labels.value_counts()
    large = sizes.index[sizes >= FOLDS][:MOST_CLASSES]
    return labels[labels.isin(large if len(large) > 1 else [])]


def _rows(name: str, items: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "task": "probe",
            "template": name,
            "split": "test",
            "user": np.zeros(len(items), dtype=np.int32),
            "item": items.astype(np.int32),
            "value": values.astype(np.float64),
        }
    )
