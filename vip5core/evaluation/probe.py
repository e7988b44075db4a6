"""What the image tokens say of an item: does the mapping network carry the picture into the token space at all?

Two questions to a trained mapping network, each answered for what comes out of it (*tokens*, all tokens of a picture
side by side) and, as the reference, for what goes in (*features*: CLIP's, scaled, and shuffled where the trial shuffles
pictures):

- **attributes**: how well can a linear classifier read the shape, the colour, the pattern or the category of an item?
  Multinomial logistic regression on standardised inputs, cross-validated.
- **neighbours**: how many of an item's nearest neighbours by cosine among the features are so among the tokens?

    probe/{attribute}           accuracy on tokens in %, _clip: on features, _chance: share of the commonest class
    probe/neighbours            shared neighbours in %, _chance: of neighbours drawn at random

Whatever cannot be asked (no such column, one class only, too few items) is left out. A mapping network that has learnt
nothing keeps much of the picture, too: being above chance is no proof that training did it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from vip5core.data.dataset import Dataset
from vip5core.model import VIP5

#: Columns of a synthetic source's `truth/items.parquet` that only a picture shows.
LOOKS = ("shape", "colour", "pattern")
FOLDS, NEIGHBOURS = 5, 10
#: More items are sampled, and the rarest of more classes left out: a probe takes a minute at most, on one core.
MOST_ITEMS, MOST_CLASSES = 3_000, 20
#: Steps of the solver. Where classes cannot be told apart it would take thousands, for the same answer.
_STEPS = 100


def probe(model: VIP5, dataset: Dataset, has_image: np.ndarray) -> tuple[dict[str, float], pd.DataFrame]:
    """Probe the mapping network of `model` on the items that have a picture, or on a seeded sample of them.

    Args:
        model: with features.
        dataset: whose items they are; knows their attributes.
        has_image: which items have a feature. Shape: [items + 1], bool.

    Returns:
        Metrics, and their rows as in `probe_tokens`.
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
    """What can be asked of `items`: a label per item, missing where none is known.

    `LOOKS` where the source planted them, and `category`: the first level of the items' categories that tells items
    apart (where all are of one department, the level below it).
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
    """The probes on arrays.

    Args:
        tokens: what comes out of the mapping network. Shape: [items, n * D].
        features: what goes in. Shape: [items, feature width].
        items: the items' numbers. Shape: [items].
        labels: of each attribute, a label per item. Shape: [items].

    Returns:
        Metrics in %, and one row per item and probe of the tokens, for paired tests: task `probe`, template (the
        attribute, or `neighbours`), split `test`, user 0, item, value (100 or 0: read rightly or not; or the share of
        neighbours in %).
    """
    metrics: dict[str, float] = {}
    frames: list[pd.DataFrame] = []
    for name, given in labels.items():
        classes = _classes(given.reset_index(drop=True))
        if not len(classes):
            continue
        rows, codes = classes.index.to_numpy(), pd.factorize(classes, sort=True)[0]
        read = 100.0 * right(tokens[rows], codes)
        metrics[f"probe/{name}"] = float(read.mean())
        metrics[f"probe/{name}_clip"] = 100.0 * float(right(features[rows], codes).mean())
        metrics[f"probe/{name}_chance"] = 100.0 * float(np.bincount(codes).max()) / len(codes)
        frames.append(_rows(name, items[rows], read))
    if len(items) > NEIGHBOURS + 1:  # else everything is everything's neighbour
        shared = shared_neighbours(tokens, features)
        metrics["probe/neighbours"] = float(shared.mean())
        metrics["probe/neighbours_chance"] = 100.0 * NEIGHBOURS / (len(items) - 1)
        frames.append(_rows("neighbours", items, shared))
    return metrics, pd.concat(frames, ignore_index=True) if frames else _rows("", items[:0], np.empty(0))


def right(inputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Which items a classifier that has not seen them puts into the right class.

    Five stratified folds, the same for every trial and seed.

    Args:
        inputs: Shape: [items, width].
        classes: a number per item, at least two of them, each on `FOLDS` items or more. Shape: [items].

    Returns:
        Shape: [items], bool.
    """
    # Imported here: scikit-learn takes a second, and most trials are not probed.
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
    """How many of the `NEIGHBOURS` nearest by cosine, the item itself left out, two representations share.

    Args:
        one: more than `NEIGHBOURS` items. Shape: [items, width].
        other: Shape: [items, other width].

    Returns:
        In %. Shape: [items].
    """
    return 100.0 * (_neighbours(one) & _neighbours(other)).sum(axis=1) / NEIGHBOURS


def _neighbours(vectors: np.ndarray) -> np.ndarray:
    """Shape: [items, width] to [items, items], True where the column is a neighbour of the row."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    nearest = np.argpartition(-likeness, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS]
    chosen = np.zeros(likeness.shape, dtype=bool)
    np.put_along_axis(chosen, nearest, True, axis=1)
    return chosen


def _classes(labels: pd.Series) -> pd.Series:
    """The labels of the classes that have an item for every fold; none if fewer than two classes are left."""
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
