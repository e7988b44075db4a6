"""The names of encoders: of a family or of the paper, and what they are called in tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vip5core.config import TrialConfig
from vip5core.encoder_names import FAMILIES, check_form, family_of, short_names
from vip5core.encoders import EncoderChoice, open_clip_names
from vip5core.encoders.timm_models import _names_in_sources, timm_names
from vip5core.errors import UserError
from vip5core.setting_docs import setting_descriptions


def test_every_form_of_a_name_is_one_and_its_family_is_in_the_help() -> None:
    text = next(setting.text for setting in setting_descriptions() if setting.name == "encoder")
    for family, forms in FAMILIES.items():
        assert f"{family}:" in text or family == "features"
        for form in forms:
            check_form(form)
            assert family_of(form) == family
            assert TrialConfig.from_settings({"encoder": form}).encoder == form
    assert [family_of(name) for name in ("RN50", "ViT-B/32", "openclip:x/y", "features")] == [None] * 4


def test_names_in_tables_are_short_and_different() -> None:
    names = ["RN50", "open_clip:ViT-B-16-SigLIP2/webli", "hf:google/vit", "hf:/a/b/dino", "timm:local-dir:m/eva/"]
    assert short_names(names) == ["RN50", "open_clip:ViT-B-16-SigLIP2/webli", "hf:vit", "hf:dino", "timm:eva"]
    assert short_names(["hf:/a/x", "hf:/b/x", "features:c/x"]) == ["hf:/a/x", "hf:/b/x", "features:x"]
    assert short_names(["features:x.npy"]) == ["features:x.npy"]


def test_the_weights_of_a_name_are_its_own() -> None:
    name = "open_clip:ViT-B-16-SigLIP2/webli"
    assert EncoderChoice(name, "tiny") == EncoderChoice(name, "openai") == EncoderChoice(name, "/nowhere")
    assert EncoderChoice(name, "tiny").fingerprint == EncoderChoice(name, "provided").fingerprint
    EncoderChoice(name, "/nowhere").check()
    assert EncoderChoice(name, "provided").needs_images


def test_a_path_holds_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "RN50.pt").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("open_clip:local-dir:model", "timm:local-dir:model", "hf:model", "features:model"):
        start = name.removesuffix("model")
        assert EncoderChoice(name).anywhere().name == f"{start}{tmp_path}/model"
    assert EncoderChoice("timm:x@RN50.pt").anywhere().name == f"timm:x@{tmp_path}/RN50.pt"
    assert EncoderChoice("RN50", "RN50.pt").anywhere() == EncoderChoice("RN50", f"{tmp_path}/RN50.pt")
    for name in ("hf:org/name@c", "timm:resnet50.a1_in1k", "timm:hf-hub:a/b@c", "open_clip:ViT-B-32/openai", "RN50"):
        assert EncoderChoice(name).anywhere() == EncoderChoice(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-16-SigLIP2", r"name its weights too: open_clip:ViT-B-16-SigLIP2/webli; tags: webli"),
        (
            "open_clip:ViT-B-16-SigLIP2/webly",
            r"did you mean 'open_clip:ViT-B-16-SigLIP2/webli'.* listed by `vip5 encoders",
        ),
        ("open_clip:Vit-B32/openai", "did you mean .*'open_clip:ViT-B-32/openai'"),
        ("open_clip:", "something must follow the colon: open_clip:ARCHITECTURE/TAG"),
        ("openclip:ViT-B-32/openai", "unknown encoder 'openclip:ViT-B-32/openai': .*open_clip:ARCHITECTURE/TAG"),
        ("siglip2", "`vip5 encoders siglip2` searches"),
        ("timm:vit_base_patch14_dino2.lvd142m", "did you mean 'timm:vit_base_patch14_dinov2.lvd142m'"),
        ("timm:resnet50.a1_in1k@/nowhere", "there is no file '/nowhere'"),
        ("timm:gs:bucket", "must be hf-hub or local-dir"),
        ("hf:./nowhere", "there is no folder"),
        ("hf:/nowhere", "there is no folder"),
    ],
)
def test_a_name_that_no_encoder_has_is_answered_in_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        EncoderChoice(name).check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("library", "name"),
    [("timm", "timm:resnet50.a1_in1k"), ("transformers", "hf:a/b"), ("timm", "open_clip:ViT-B-16-SigLIP2/webli")],
)
def test_a_library_that_is_not_installed_is_named_with_how_to_install_it(
    library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=rf"{library} is not installed, .*: pip install {library}"):
        EncoderChoice(name).check()


def test_the_names_in_timms_sources_hold_those_that_it_lists() -> None:
    tagged = {name for name in timm_names() if "." in name}
    assert len(tagged & _names_in_sources()[1]) > 0.85 * len(tagged)
    for name in sorted(tagged - _names_in_sources()[1])[:1]:
        EncoderChoice(f"timm:{name}").check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm:coatnet_0_224.untrained", "timm:classifier.weight", "timm:resnet18.nowhere"])
def test_what_stands_in_timms_sources_without_weights_is_no_encoder(name: str) -> None:
    with pytest.raises(UserError, match=f"unknown encoder '{name}'"):
        EncoderChoice(name).check()


@pytest.mark.slow
def test_encoders_of_all_families_are_named_without_pytorch(tmp_path: Path) -> None:
    """A finished study names its encoders, and PyTorch takes seconds."""
    code = """
import sys
from vip5core.encoders import EncoderChoice
names = ("timm:vit_base_patch14_dinov2.lvd142m", "timm:resnet18", "features:x")
for name in ("open_clip:ViT-B-16-SigLIP2/webli", *names):
    choice = EncoderChoice(name)
    choice.check()
    print(choice.fingerprint)
print(sorted({"torch", "open_clip", "timm", "transformers", "huggingface_hub"} & sys.modules.keys()))
"""
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "1.npy").touch()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    first, second, *_, imported = done.stdout.split()
    assert imported == "[]"
    # The same as in a process that has imported them.
    assert first == EncoderChoice("open_clip:ViT-B-16-SigLIP2/webli").fingerprint
    assert second == EncoderChoice("timm:vit_base_patch14_dinov2.lvd142m").fingerprint


def test_open_clips_names_are_its_own_list() -> None:
    import open_clip

    names = {f"{architecture}/{tag}" for architecture, tag in open_clip.list_pretrained()}
    assert set(open_clip_names()) <= names
    assert {name for name in names if open_clip.get_model_config(name.partition("/")[0])} == set(open_clip_names())
