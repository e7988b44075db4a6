"""Find the image features that a trial has read."""

from __future__ import annotations

from contextlib import suppress

from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import FeatureStore
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.trial.result import TrialResult


def find_features(result: TrialResult, dataset: Dataset, home: Home) -> FeatureStore | None:
    """The features of a trial; None if it has none, or if they cannot be read any more.

    Args:
        result: The trial.
        dataset: Its dataset, which may have brought features of its own.
        home: The home of the trial.
    """
    features = result.record.features
    if features is None:
        return None
    for folder in (home.fetch(home.features / features), dataset.folder / "features" / features):
        with suppress(UserError):
            store = FeatureStore.load(folder)
            if len(store.features) == dataset.n_items + 1:
                return store
    return None
