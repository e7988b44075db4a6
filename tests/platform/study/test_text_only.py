"""Datasets without images, and datasets that came with features."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.raw import raw_histories, with_further_pictures
from vip5platform.cluster.feature_stores import store_folder
from vip5platform.declarations import Study, factor
from vip5platform.options import Options
from vip5platform.study.inputs import PreparedInputs, without_effect
from vip5platform.study.plan import feature_choices, plan_trials

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.feature_choice import FeatureChoice
from vip5core.data.feature_store import FeatureStore
from vip5core.data.raw import Provided
from vip5core.encoders import EncoderChoice
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.vocabulary import PROVIDED

HISTORIES = {f"u{n}": ["p", "q", "r", "s", "t"] for n in range(3)}
STUDY = Study("encoders", "Which?", (factor("encoder", "RN50", "ViT-B/32"),))


@pytest.fixture
def bare(tmp_path: Path) -> Dataset:
    return Dataset.load(build_dataset(raw_histories(HISTORIES), tmp_path / "bare"))


@pytest.fixture
def featured(tmp_path: Path) -> Dataset:
    """A dataset that came with RN50 features of all items but one."""
    raw = raw_histories(HISTORIES)
    files = {}
    for place, item in enumerate("pqrs"):
        files[item] = tmp_path / f"{item}.npy"
        np.save(files[item], np.full(1024, place, dtype=np.float32))
    numbers = {item: place for place, item in enumerate("tsrqp", start=1)}
    raw.provided = Provided(item_ids=numbers, features={"RN50": files})
    return Dataset.load(build_dataset(raw, tmp_path / "featured", BuildOptions(id_scheme="provided")))


def test_without_images_every_trial_is_text_only_and_the_same(bare: Dataset, shop: Dataset, untrained: Path) -> None:
    planned = plan_trials(STUDY, Options())
    as_run = [PreparedInputs(bare, untrained).trial(trial, Home(bare.folder.parent)) for trial in planned]
    assert {trial.planned.config.image_tokens for trial in as_run} == {0}
    assert len({trial.spec.fingerprint for trial in as_run}) == 1
    assert not any(PreparedInputs(shop, untrained).lacks_images(trial.config) for trial in planned)


def test_features_that_came_with_a_dataset_are_used_as_they_are(
    featured: Dataset, untrained: Path, tmp_path: Path
) -> None:
    planned = plan_trials(STUDY, Options(settings=(("encoder_weights", PROVIDED),)))
    assert not any(PreparedInputs(featured, untrained).lacks_images(trial.config) for trial in planned)
    store = FeatureStore.load(store_folder(featured, FeatureChoice(EncoderChoice("RN50", PROVIDED)), Home(tmp_path)))
    assert featured.items["raw_id"].tolist() == list("tsrqp")
    assert store.features[:, 0].tolist() == [0, 0, 3, 2, 1, 0]
    assert store.has_image.tolist() == [False, False, True, True, True, True]
    assert store.fingerprint == featured.manifest.features["RN50"]
    with pytest.raises(UserError, match=r"came with features of RN50, not of ViT-B/32"):
        store_folder(featured, FeatureChoice(EncoderChoice("ViT-B/32", PROVIDED)), Home(tmp_path))


def test_other_features_make_another_dataset(featured: Dataset) -> None:
    """A trial's identity has the dataset's, so none is found again after its features changed."""
    other = featured.manifest.model_copy(update={"features": {"RN50": "0" * 16}})
    changed = Dataset(featured.folder, other, *(getattr(featured, name) for name in list(vars(featured))[2:7]))
    assert changed.fingerprint != featured.fingerprint


PICTURES = Study("pictures", "All or the first?", (factor("item_images", "first", "mean"),))


def test_trials_differ_by_the_pictures_of_items_that_have_several(
    shop: Dataset, untrained: Path, tmp_path: Path
) -> None:
    shutil.copytree(shop.folder, tmp_path / "several")
    several = with_further_pictures(
        Dataset.load(tmp_path / "several"), {shop.items["raw_id"][0]: {"images/x.png": "1" * 64}}
    )
    planned = plan_trials(PICTURES, Options(settings=(("encoder_weights", "tiny"),)))
    choices = feature_choices(trial.config for trial in planned)
    assert [choice.item_images for choice in choices] == ["first", "mean"]
    first, mean = (PreparedInputs(several, untrained).trial(trial, Home(tmp_path)).spec for trial in planned)
    assert first.features != mean.features
    assert first.fingerprint != mean.fingerprint
    assert [without_effect(choice, several) for choice in choices] == [None, None]

    # The shop as it is has one picture of each item: both levels are one trial, and the study says so.
    first, mean = (PreparedInputs(shop, untrained).trial(trial, Home(tmp_path)).spec for trial in planned)
    assert (first.features, first.fingerprint) == (mean.features, mean.fingerprint)
    assert without_effect(choices[0], shop) is None
    assert without_effect(choices[1], shop) == (
        "item_images=mean is the same as first for ViT-B/32 on minimart: no item has several pictures "
        "(vip5 images --per-item N downloads them)"
    )
    assert several.name == "minimart"


def test_features_that_are_given_know_nothing_of_pictures(featured: Dataset, untrained: Path, tmp_path: Path) -> None:
    further = with_further_pictures(featured, {})
    settings = (("encoder_weights", PROVIDED), ("encoder", "RN50"))
    planned = plan_trials(PICTURES, Options(settings=settings))
    first, mean = (PreparedInputs(further, untrained).trial(trial, Home(tmp_path)).spec for trial in planned)
    assert (first.features, first.fingerprint) == (mean.features, mean.fingerprint)
    choices = feature_choices(trial.config for trial in planned)
    assert without_effect(choices[1], further) == (
        "item_images=mean is the same as first for RN50 on by hand: its features are given"
    )
