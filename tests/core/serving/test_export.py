"""Exported models: they give the lists of the trial, with vip5core alone, however the trial was tuned."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.imports import ROOT
from support.trained import home_with_inputs, train_in

from vip5core.data.dataset import Dataset
from vip5core.data.sources import options_of, prepare
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.serving import ModelFiles, Recommender, export_model, histories_of, load_exported

#: Run by a Python of its own: what is imported there is what a model needs.
_ALONE = """
import sys
import pandas as pd
from vip5core.serving import load_exported

load_exported({model!r}).recommend(pd.read_parquet({histories!r}), k=5).to_parquet({out!r})
found = {{name.split(".")[0] for name in sys.modules}} & {{"ray", "mlflow", "optuna", "vip5platform"}}
assert not found, found
"""


@pytest.mark.slow
def test_a_copy_gives_the_same_lists_without_the_platform(trained: ModelFiles, shop: Dataset, tmp_path: Path) -> None:
    histories_of(shop).to_parquet(tmp_path / "histories.parquet")
    model = export_model(trained, tmp_path / "model", "# Card")
    code = _ALONE.format(
        model=str(model), histories=str(tmp_path / "histories.parquet"), out=str(tmp_path / "lists.parquet")
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    expected = Recommender(trained).recommend(histories_of(shop), k=5)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "lists.parquet"), expected, rtol=1e-4)
    assert (model / "README.md").read_text("utf-8") == "# Card"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "merge"),
    [
        ({"tuning": "lora"}, True),
        ({"tuning": "lora"}, False),
        ({"tuning": "ia3"}, True),
        ({"tuning": "full", "image_tokens": 0}, False),
        ({"adapter_sharing": "per_task", "images": "shuffled"}, False),
    ],
)
def test_every_tuning_survives(
    trained_home: Home, shop: Dataset, tmp_path: Path, changes: dict[str, Any], merge: bool
) -> None:
    files = train_in(trained_home, tasks=("sequential",), learning_rate=0.05, test_users=2, **changes)
    model = load_exported(export_model(files, tmp_path / "model", "", merge=merge))
    names = [name for name, _ in model.trained.model.backbone.named_parameters()]
    if merge or changes.get("tuning") == "full":
        assert not [name for name in names if "lora" in name or "ia3" in name]
    histories = histories_of(shop)
    found, expected = (some.recommend(histories, k=10) for some in (model, Recommender(files)))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-3)


@pytest.fixture(scope="module")
def home_of_id_tokens(shop_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the shop whose item ids are tokens of their own. Read only."""
    prepared = prepare("minimart:40", None, shop_home, options_of("minimart:40", id_scheme="independent"))
    return home_with_inputs(tmp_path_factory.mktemp("id_tokens") / "home", Dataset.load(prepared))


@pytest.mark.slow
@pytest.mark.parametrize(("tuning", "merge"), [("lora", True), ("full", False)])
def test_id_tokens_survive_in_a_backbone_that_was_trained(
    home_of_id_tokens: Home, tmp_path: Path, tuning: str, merge: bool
) -> None:
    files = train_in(home_of_id_tokens, tasks=("sequential",), learning_rate=0.05, test_users=2, tuning=tuning)
    model = load_exported(export_model(files, tmp_path / "model", "", merge=merge))
    histories = histories_of(Dataset.load(files.dataset))
    found, expected = (some.recommend(histories, k=10) for some in (model, Recommender(files)))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-3)


@pytest.mark.slow
def test_adapters_cannot_be_merged_and_nothing_is_overwritten(trained: ModelFiles, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tuning=adapter: bottleneck adapters have a nonlinearity"):
        export_model(trained, tmp_path / "model", "", merge=True)
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="exists: choose another folder"):
        export_model(trained, tmp_path / "there", "")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_damaged_export_is_refused(trained: ModelFiles, tmp_path: Path) -> None:
    model = export_model(trained, tmp_path / "model", "")
    (model / "items.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"items.parquet' is missing or does not match its manifest"):
        load_exported(model)
    (model / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"has no manifest\.json: give a prepared dataset or an exported model"):
        load_exported(model)
