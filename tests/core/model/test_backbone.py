"""Backbones as folders: what is saved is loaded, and anything but a T5 is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support.shop import fresh_backbone, small_config
from transformers import BertConfig, BertModel

from vip5core.backbones import backbone_fingerprint, find_backbone
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.model import load_backbone, save_backbone
from vip5core.trial.components import TrialComponents


def test_a_saved_backbone_is_loaded_as_it_was(shop: Dataset, tmp_path: Path) -> None:
    backbone = fresh_backbone(shop)
    folder = save_backbone(backbone, tmp_path / "saved")
    loaded = load_backbone(folder)
    theirs = backbone.model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in loaded.model.state_dict().items())
    assert loaded.tokenizer("user_7 chose 12 .")["input_ids"] == backbone.tokenizer("user_7 chose 12 .")["input_ids"]
    # the whole-word and category embeddings that belong to it arrive in the model
    model = TrialComponents(shop, loaded, None).model(small_config(image_tokens=0))
    for name, value in backbone.extra_embeddings.items():
        assert torch.equal(model.state_dict()[name], value)


@pytest.mark.slow
def test_the_fingerprint_covers_weights_configuration_and_tokenizer(shop: Dataset, tmp_path: Path) -> None:
    first = save_backbone(fresh_backbone(shop), tmp_path / "first")
    same = save_backbone(fresh_backbone(shop), tmp_path / "same")
    assert backbone_fingerprint(first) == backbone_fingerprint(same)
    other = save_backbone(fresh_backbone(shop, seed=1), tmp_path / "other")
    assert backbone_fingerprint(other) != backbone_fingerprint(first)
    (same / "config.json").write_text((same / "config.json").read_text() + " ")
    assert backbone_fingerprint(same) != backbone_fingerprint(first)


def test_dropout_is_set_by_the_trial_not_by_the_folder(shop: Dataset, tmp_path: Path) -> None:
    folder = save_backbone(fresh_backbone(shop, dropout=0.3), tmp_path / "saved")
    assert load_backbone(folder).model.config.dropout_rate == 0.0
    assert load_backbone(folder, dropout=0.2).model.config.dropout_rate == 0.2


def test_a_folder_that_is_no_backbone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder without config\.json"):
        find_backbone(str(tmp_path), Home(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no T5 can be read") as caught:
        load_backbone(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "extra_embeddings.safetensors"])
def test_a_damaged_weights_file_is_a_users_error(shop: Dataset, tmp_path: Path, name: str) -> None:
    folder = save_backbone(fresh_backbone(shop), tmp_path / "saved")
    (folder / name).write_bytes((folder / name).read_bytes()[:1000])
    with pytest.raises(UserError, match="no T5 can be read"):
        load_backbone(folder)


def test_another_models_weights_are_refused_instead_of_random_ones(shop: Dataset, tmp_path: Path) -> None:
    folder = save_backbone(fresh_backbone(shop), tmp_path / "saved")
    bert = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    BertModel(bert).save_pretrained(tmp_path / "bert")
    shutil.copy(tmp_path / "bert" / "model.safetensors", folder)
    for path, reason in ((folder, "its weights lack"), (tmp_path / "bert", "no T5 can be read")):
        with pytest.raises(UserError, match=reason) as caught:
            load_backbone(path)
        assert "\n" not in str(caught.value)


def test_a_failed_download_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(UserError, match=r"is not a folder and cannot be downloaded .* \(no route\): give the folder"):
        find_backbone("someone/t5", Home(tmp_path))
    assert not list(tmp_path.rglob("*t5*"))
