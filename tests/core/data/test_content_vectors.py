"""Wide vectors are reduced to few directions, in which k-means still tells items apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from vip5core.data.content_vectors import content_vectors
from vip5core.data.semantic_codes import residual_codes, share_of_collisions
from vip5core.id_scheme_names import parse_id_scheme


def test_wide_features_keep_their_main_directions_and_few_items_collide(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 20, 600)
    features = 5 + rng.normal(size=(20, 300))[kinds] + rng.normal(size=(600, 300))
    names = [f"i{n:03d}" for n in range(600)]
    np.save(tmp_path / "mine.npy", features)
    (tmp_path / "mine.ids.txt").write_text("\n".join(names))
    items = pd.DataFrame({"raw_id": [*names, "other"]})
    has, vectors = content_vectors(parse_id_scheme(f"semantic:image@features:{tmp_path / 'mine.npy'}"), items, seed=0)
    assert has.tolist() == [True] * 600 + [False]
    assert vectors.shape == (600, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    alike = vectors @ vectors.T
    assert alike[kinds[:, None] == kinds].mean() > 0.4 > alike[kinds[:, None] != kinds].mean()
    assert share_of_collisions(residual_codes(vectors, seed=0)[0]) < 0.2
