"""Where the image features of a dataset are kept; `vip5platform.cluster.feature_extraction` fills these folders.

Apart from it, because a finished study only needs the folders, and Ray takes seconds to import.
"""

from __future__ import annotations

from pathlib import Path

from vip5core.data.dataset import Dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.data.feature_store import store_fingerprint
from vip5core.data.imported_features import store_name
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.vocabulary import PROVIDED


def store_folder(dataset: Dataset, choice: FeatureChoice, home: Home) -> Path:
    """The folder of a dataset's features of one choice, whether it exists or not.

    Raises:
        UserError: For provided features that did not come with the dataset.
    """
    encoder = choice.encoder
    if encoder.weights == PROVIDED:
        folder = dataset.folder / "features" / store_name(encoder.name)
        if not folder.is_dir():
            there = ", ".join(dataset.manifest.features) or "none"
            raise UserError(
                f"encoder_weights={PROVIDED}: dataset {dataset.name!r} came with features of {there}, not of "
                f"{encoder.name}; choose other weights"
            )
        return folder
    return home.features / store_fingerprint(dataset, encoder.fingerprint, choice.on(dataset).item_images)
