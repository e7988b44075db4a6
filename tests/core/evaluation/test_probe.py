"""Probes find what is in the image tokens and nothing else, and are left out where they cannot be run."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.shop import WITHOUT_IMAGE, fresh_backbone, random_features, small_components, small_config

from vip5core.data.dataset import Dataset
from vip5core.distributed import WorkerGroup
from vip5core.evaluation import probe as probes
from vip5core.evaluation.probe import attributes, probe, probe_tokens, shared_neighbours
from vip5core.evaluation.results import summarise
from vip5core.home import Home
from vip5core.metrics import metric
from vip5core.model import save_backbone
from vip5core.trial import run as trial
from vip5core.trial.result import TrialResult
from vip5core.trial.run import run_trial
from vip5core.trial.spec import TrialSpec


def draw_labels(n: int, classes: int, seed: int = 0) -> pd.Series:
    names = np.array([f"class {number}" for number in range(classes)])
    return pd.Series(names[np.random.default_rng(seed).integers(0, classes, n)])


def noise(n: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def one_hot(labels: pd.Series) -> np.ndarray:
    return pd.get_dummies(labels).to_numpy(dtype=np.float32)


def test_an_attribute_is_read_off_tokens_that_encode_it_and_not_off_random_ones() -> None:
    labels, n = draw_labels(400, 4), 400
    items = np.arange(1, n + 1)
    clear, rows = probe_tokens(one_hot(labels), noise(n, 8), items, {"colour": labels})
    assert clear["probe/colour"] == 100.0
    assert clear["probe/colour_clip"] == pytest.approx(25, abs=8)
    assert clear["probe/colour_chance"] == pytest.approx(100 * labels.value_counts().max() / n)
    noisy, _ = probe_tokens(noise(n, 8), one_hot(labels), items, {"colour": labels})
    assert noisy["probe/colour"] == pytest.approx(25, abs=8)
    assert noisy["probe/colour_clip"] == 100.0
    colour = rows[rows["template"] == "colour"]
    assert colour["item"].tolist() == items.tolist()
    assert (colour["value"] == 100.0).all()


def test_equal_spaces_share_all_neighbours_and_random_ones_as_many_as_expected() -> None:
    n, tokens = 300, noise(300, 16)
    assert (shared_neighbours(tokens, 3 * tokens) == 100.0).all()  # cosine ignores length
    metrics, rows = probe_tokens(tokens, noise(n, 16, seed=2), np.arange(1, n + 1), {})
    assert metrics["probe/neighbours_chance"] == pytest.approx(100 * 10 / 299)
    assert metrics["probe/neighbours"] == pytest.approx(metrics["probe/neighbours_chance"], abs=1)
    assert rows["value"].mean() == pytest.approx(metrics["probe/neighbours"])


@pytest.mark.slow
def test_probes_are_deterministic() -> None:
    labels = {"shape": draw_labels(60, 3), "colour": draw_labels(60, 2, seed=5)}
    items = np.arange(11, 71)
    first, rows = probe_tokens(noise(60, 40), noise(60, 20, seed=2), items, labels)
    again, rows_again = probe_tokens(noise(60, 40), noise(60, 20, seed=2), items, labels)
    assert first == again
    pd.testing.assert_frame_equal(rows, rows_again)
    for template, part in rows.groupby("template"):
        assert first[f"probe/{template}"] == pytest.approx(part["value"].mean())


@pytest.mark.parametrize(
    ("labels", "asked"),
    [
        (pd.Series(["red"] * 20), []),  # one class
        (pd.Series(["red"] * 16 + ["blue"] * 4), []),  # a second one that is too small for five folds
        (pd.Series([None] * 20, dtype=object), []),
        (pd.Series(["red"] * 8 + ["blue"] * 8 + ["pink"] * 4), ["red", "blue"]),
        (pd.Series(["red"] * 8 + ["blue"] * 8 + [None] * 4, dtype=object), ["red", "blue"]),
    ],
    ids=["one class", "a small second", "unknown", "a small third", "some unknown"],
)
def test_classes_too_small_for_the_folds_are_left_out(labels: pd.Series, asked: list[str]) -> None:
    metrics, rows = probe_tokens(noise(20, 4), noise(20, 4), np.arange(1, 21), {"colour": labels})
    probed = rows.loc[rows["template"] == "colour", "item"]
    assert sorted(set(labels[probed.to_numpy() - 1])) == sorted(asked)
    assert ("probe/colour" in metrics) == bool(asked)


@pytest.mark.parametrize("n", [0, 1, 9, 11])
def test_a_few_items_are_not_probed(n: int) -> None:
    metrics, rows = probe_tokens(noise(n, 4), noise(n, 4), np.arange(1, n + 1), {"colour": draw_labels(n, 3)})
    assert metrics == {}
    assert len(rows) == 0
    assert {"task", "template", "split", "user", "item", "value"} == set(rows)


def test_a_solver_that_does_not_converge_does_not_warn() -> None:
    scales = np.logspace(-6, 6, 30, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe_tokens(noise(300, 30) * scales, np.ones((300, 3), np.float32), np.arange(300), {"x": draw_labels(300, 4)})


def with_categories(shop: Dataset, *paths: list[str]) -> Dataset:
    repeated = [paths[place % len(paths)] for place in range(shop.n_items)]
    return dataclasses.replace(shop, items=shop.items.assign(categories=repeated))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([["tea"], ["mug"]], {"tea", "mug"}),
        ([["home", "tea"], ["home", "mug"]], {"tea", "mug"}),
        ([["home", "tea", "x"], ["home", "mug", "y"]], {"tea", "mug"}),
        ([["home", "tea"], ["home"], ["home", "mug"]], {"tea", "mug"}),
        ([["home"], ["home"]], None),
        ([[], []], None),
    ],
)
def test_the_category_is_the_first_level_with_several_classes(
    shop: Dataset, paths: list[list[str]], expected: set[str] | None
) -> None:
    found = attributes(with_categories(shop, *paths), np.arange(1, shop.n_items + 1)).get("category")
    assert (set(found.dropna()) if found is not None else None) == expected


def test_planted_attributes_belong_to_the_datasets_item_numbers(shop: Dataset) -> None:
    items = np.arange(7, shop.n_items + 1)
    truth = pd.read_parquet(shop.folder / "truth" / "items.parquet").set_index("id")
    found = attributes(shop, items)
    assert set(found) == {"shape", "colour", "pattern", "category"}
    for look in ("shape", "colour", "pattern"):
        assert found[look].tolist() == truth.loc[items, look].tolist()
    assert found["category"].tolist() == [shop.items["categories"][item - 1][0] for item in items]


def test_a_dataset_without_attributes_has_the_neighbours_probe_only(shop: Dataset, tmp_path: Path) -> None:
    bare = dataclasses.replace(with_categories(shop, []), folder=tmp_path)
    inputs = small_components(shop)
    metrics, _ = probe(inputs.model(small_config()), bare, inputs.layout(small_config()).has_image)
    assert set(metrics) == {"probe/neighbours", "probe/neighbours_chance"}


@pytest.mark.slow
def test_items_with_images_are_probed_or_a_fixed_sample_of_many(shop: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = small_components(shop)
    model, has_image = inputs.model(small_config()), inputs.layout(small_config()).has_image
    _, rows = probe(model, shop, has_image)
    with_image = set(range(1, shop.n_items + 1)) - set(WITHOUT_IMAGE)
    assert set(rows.loc[rows["template"] == "neighbours", "item"]) == with_image
    monkeypatch.setattr(probes, "MOST_ITEMS", 25)
    samples = []
    for seed in (0, 1):
        _, rows = probe(small_components(shop, seed=seed).model(small_config(seed=seed)), shop, has_image)
        samples.append(rows.loc[rows["template"] == "neighbours", "item"].tolist())
    assert len(samples[0]) == 25
    assert samples[0] == samples[1]
    assert set(samples[0]) < with_image


def probed_spec(shop: Dataset, folder: Path, image_tokens: int) -> TrialSpec:
    """A trial with a probe, its inputs under `folder`."""
    store, source = folder / "store", random_features(shop)
    store.mkdir()
    np.save(store / "features.npy", source.features)
    source.ledger.to_parquet(store / "ledger.parquet")
    (store / "store.json").write_text(json.dumps({"fingerprint": "store"}))
    backbone = save_backbone(fresh_backbone(shop), folder / "backbone")
    config = small_config(probe=True, image_tokens=image_tokens, epochs=1, test_users=8)
    return TrialSpec.of(config, shop.folder, backbone, store)


@pytest.mark.slow
@pytest.mark.parametrize("image_tokens", [2, 0])
def test_a_probed_trial_writes_metrics_and_rows(shop: Dataset, tmp_path: Path, image_tokens: int) -> None:
    spec = probed_spec(shop, tmp_path, image_tokens)
    result = TrialResult.load(run_trial(spec, Home(tmp_path), lambda _: None))
    metrics, rows = result.metrics, result.per_user
    for name in metrics:
        metric(name)
    asked = rows[rows["task"] == "probe"]
    if not image_tokens:
        assert not any("probe" in name for name in metrics)
        assert not len(asked)
        return
    assert {"probe/colour", "probe/colour_clip", "probe/colour_chance", "probe/neighbours"} <= set(metrics)
    for template, part in asked.groupby("template"):
        assert metrics[f"probe/{template}"] == pytest.approx(part["value"].mean())
    assert set(asked["split"]) == {"test"}
    assert set(asked["user"]) == {0}
    parts = ("train", "validation", "test", "probe")
    assert metrics["cost/seconds"] == pytest.approx(sum(metrics[f"cost/{part}_seconds"] for part in parts))
    assert metrics["cost/probe_seconds"] > 0
    again = summarise(rows[rows["task"] != "probe"], spec.config.num_beams)  # the other rows are what they were
    assert again == pytest.approx({name: value for name, value in metrics.items() if name.startswith("test/")})


@pytest.mark.slow
def test_only_the_worker_that_writes_the_result_probes(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = WorkerGroup()
    second.rank = 1
    monkeypatch.setattr(trial, "probe", lambda *_: pytest.fail("probed twice"))
    run_trial(probed_spec(shop, tmp_path, 2), Home(tmp_path), lambda _: None, group=second)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("probe/colour", "colour probe"),
        ("probe/colour_clip", "colour probe, CLIP"),
        ("probe/neighbours_chance", "neighbours probe, chance"),
        ("cost/probe_seconds", "probe"),
        ("test/explanation/rouge_l", "ROUGE-L"),
        ("test/explanation/rouge_2", "ROUGE-2"),
    ],
)
def test_probes_are_declared_metrics(name: str, label: str) -> None:
    assert metric(name).label == label


def test_a_higher_probe_is_better() -> None:
    assert metric("probe/shape").better(60.0, than=50.0)
    assert not metric("cost/probe_seconds").better(60.0, than=50.0)
