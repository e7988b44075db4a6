"""Which backbone a P5 stage makes: what its settings may be, and what makes two of them the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.shop import fresh_backbone

from vip5core.backbones import P5_RECORD, backbone_fingerprint, find_backbone, short_name, trained_t5
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.model import save_backbone
from vip5core.presets import P5, P5_PRETRAINED
from vip5core.trial.p5_spec import P5Stage, p5_config


@pytest.fixture(scope="module")
def t5(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for a T5 of someone else."""
    return save_backbone(fresh_backbone(shop), tmp_path_factory.mktemp("hub") / "someones-t5")


@pytest.mark.parametrize(
    ("name", "short", "trained"),
    [
        ("tiny", "tiny", "tiny"),
        ("p5:tiny", "tiny", "tiny"),
        ("t5-small", "t5-small", None),
        ("p5:t5-small", "p5:t5-small", "t5-small"),
        ("p5:/a/folder", "p5:/a/folder", "/a/folder"),
    ],
)
def test_a_name_says_what_is_trained(name: str, short: str, trained: str | None) -> None:
    assert short_name(name) == short
    assert trained_t5(name) == trained


@pytest.mark.parametrize("name", ["p5:", "p5: "])
def test_nothing_after_the_prefix_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"name the T5 that is to be trained, such as p5:t5-small or p5:FOLDER"):
        trained_t5(name)


def test_an_unknown_name_after_the_prefix_is_refused_with_a_way_out(tmp_path: Path, monkeypatch) -> None:
    def offline(*given: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("vip5core.backbones._download", offline)
    with pytest.raises(UserError, match=r"--backbone 'p5:tinny': 'tinny' is not a folder .* built-in backbones: tiny"):
        find_backbone("p5:tinny", Home(tmp_path))


def test_one_stage_has_one_folder_by_whichever_name(shop: Dataset, t5: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert P5Stage.of("tiny", shop, home) == P5Stage.of("p5:tiny", shop, home)
    of_folder = P5Stage.of(f"p5:{t5}", shop, home)
    assert of_folder.start == t5
    assert of_folder.folder.name.startswith("someones-t5-")
    # The content of the T5 counts, not where it is.
    moved = shutil.copytree(t5, tmp_path / "elsewhere" / "someones-t5")
    assert P5Stage.of(f"p5:{moved}", shop, home).folder == of_folder.folder
    (moved / "config.json").write_text("{}")
    assert P5Stage.of(f"p5:{moved}", shop, home).folder != of_folder.folder
    folders = {
        P5Stage.of(f"p5:{t5}", shop, home, settings).folder
        for settings in ({}, {"epochs": "3"}, {"seed": 1}, {"max_samples": 50})
    }
    assert len(folders) == 4


def test_how_long_a_stage_took_is_no_part_of_its_backbone(t5: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(t5, tmp_path / "copy")
    before = backbone_fingerprint(copy)
    (copy / P5_RECORD).write_text("{}")
    assert backbone_fingerprint(copy) == before == backbone_fingerprint(t5)


def test_a_pretrained_t5_has_settings_of_its_own() -> None:
    built_in, pretrained = p5_config(), p5_config(backbone="t5-small")
    for config, expected in ((built_in, P5), (pretrained, {**P5, **P5_PRETRAINED, "backbone": "t5-small"})):
        assert {key: getattr(config, key) for key in expected} == expected
    assert (pretrained.embedding_rate, pretrained.item_start) == (1.0, "random")
    assert (built_in.tuning, pretrained.tuning, pretrained.image_tokens) == ("full", "full", 0)
    assert p5_config(backbone="t5-small", epochs="3", image_tokens="0", tuning="full").epochs == 3
