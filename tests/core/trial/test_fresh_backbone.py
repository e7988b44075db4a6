"""An untrained built-in backbone knows each item and user by one piece, which starts as its settings say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from vip5core.data.dataset import Dataset
from vip5core.data.sources import prepare
from vip5core.data.vectors import item_vectors, user_vectors
from vip5core.home import Home
from vip5core.model import Backbone
from vip5core.prompts.tokenizer import encode
from vip5core.trial.fresh_backbone import fresh_backbone
from vip5core.trial.p5_spec import p5_config
from vip5core.trial.p5_stage import make_p5_backbone


def rows_of(backbone: Backbone, texts: list[str]) -> np.ndarray:
    """The embedding of the last piece of each text. Shape: [texts, width]."""
    pieces = [int(ids[-1]) for ids in encode(backbone.tokenizer, texts)]
    assert len(set(pieces)) == len(texts)
    return backbone.model.shared.weight.detach().numpy()[pieces]


def test_items_and_users_start_from_co_occurrence(shop: Dataset) -> None:
    backbone = fresh_backbone(shop, p5_config())
    items = item_vectors(shop, backbone.model.config.d_model, seed=0)
    numbers = [str(item) for item in range(1, shop.n_items + 1)]
    assert {len(ids) for ids in encode(backbone.tokenizer, numbers)} == {1}
    assert_allclose(rows_of(backbone, numbers), 0.3 * items[1:], atol=1e-6)
    users = [f"user_{user}" for user in range(1, shop.n_users + 1)]
    assert_allclose(rows_of(backbone, users), 0.3 * user_vectors(shop, items, 0)[1:], atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_start_differs_in_these_rows_alone(shop: Dataset, seed: int) -> None:
    one, other = (fresh_backbone(shop, p5_config(item_start=s, seed=seed)) for s in ("cooccurrence", "random"))
    differ = (one.model.shared.weight != other.model.shared.weight).any(dim=1)
    assert int(differ.sum()) == shop.n_items + shop.n_users
    for (name, first), (_, second) in zip(one.model.named_parameters(), other.model.named_parameters(), strict=True):
        assert name == "shared.weight" or bool((first == second).all())
    numbers = [str(item) for item in range(1, shop.n_items + 1)]
    assert float(rows_of(other, numbers).std()) == pytest.approx(0.3, rel=0.1)


@pytest.mark.slow
def test_a_p5_stage_ranks_twice_as_well_as_popularity(tmp_path: Path) -> None:
    dataset = Dataset.load(prepare("minimart", None, Home(tmp_path)))
    config = p5_config(tasks=("sequential",), epochs=2)
    found: list[dict[str, float]] = []
    make_p5_backbone(dataset, config, tmp_path / "t5", found.append, torch.device("cpu"))
    popular, items, gains = dataset.training_popularity, np.arange(1, dataset.n_items + 1), []
    for user in range(1, dataset.n_users + 1):
        offered = np.setdiff1d(items, dataset.before(user, "valid"))
        rank = 1 + int((popular[offered] > popular[dataset.target(user, "valid")]).sum())
        gains.append(1 / np.log2(rank + 1) if rank <= 10 else 0.0)
    assert found[-1]["valid/sequential/ndcg_at_10"] > 2 * np.mean(gains) > 0.08
