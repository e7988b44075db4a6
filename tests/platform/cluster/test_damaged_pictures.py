"""A shop of 200 pictures, 40 of which are damaged, each in another way, gets to its features and its sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.damaged_shop import write_damaged_shop
from vip5platform.cli.vip5 import main
from vip5platform.cluster.feature_extraction import extract
from vip5platform.cluster.resources import ClusterResources

from vip5core.data.dataset import Dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.data.feature_store import NO_IMAGE, FeatureStore
from vip5core.data.sources import prepare
from vip5core.encoders import EncoderChoice
from vip5core.home import Home

pytestmark = pytest.mark.slow


def test_damaged_pictures_cost_their_items_the_image_and_nothing_else(
    ray_two_cpus: ClusterResources, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = write_damaged_shop(tmp_path / "source", tmp_path / "photos")
    home = Home(tmp_path / "home")
    dataset = Dataset.load(prepare("tables", tmp_path / "source", home))
    choice = FeatureChoice(EncoderChoice("RN50", "tiny"))
    store = FeatureStore.load(extract(dataset, [choice], home, ray_two_cpus)[choice])
    without = set(dataset.items.loc[~store.has_image[1:], "raw_id"])
    assert len(damaged) == 40
    assert without == set(damaged)
    assert np.abs(store.features[store.has_image]).sum(1).min() > 0
    # What does not begin like a picture was left out when the dataset was prepared, the rest when it was encoded.
    reasons = store.ledger.loc[store.ledger["reason"] != NO_IMAGE, "reason"]
    assert len(reasons) > 30
    assert len({reason.split(":")[0] for reason in reasons}) > 8

    with pytest.raises(SystemExit) as left:
        main(["describe", str(dataset.folder)])
    assert left.value.code == 0
    assert "Traceback" not in "".join(capfd.readouterr())
    assert (dataset.folder / "sheet.png").stat().st_size > 10_000
