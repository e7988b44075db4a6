"""The zoo of visual encoders and the tiny ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

import vip5core
from vip5core.encoders import EncoderChoice, Preparation, load_encoder
from vip5core.encoders.zoo import PaperEncoder
from vip5core.errors import UserError
from vip5core.fingerprint import reached_modules
from vip5core.vocabulary import ENCODERS


def prepare_pixels(choice: EncoderChoice, n: int) -> torch.Tensor:
    prepare = Preparation.of(choice)
    return torch.from_numpy(np.stack([prepare(image) for image in images(n)]))


def images(n: int) -> list[Image.Image]:
    """Noise on grounds of different colour, of different shape."""
    rng = np.random.default_rng(1)
    grounds = rng.integers(0, 200, (n, 1, 1, 3))
    noise = [rng.integers(0, 50, (80, 60 + 10 * i, 3)) for i in range(n)]
    return [Image.fromarray((ground + grain).astype(np.uint8)) for ground, grain in zip(grounds, noise, strict=True)]


@pytest.mark.parametrize("name", ENCODERS)
def test_a_twin_gives_each_image_one_feature_whatever_stands_beside_it(name: str) -> None:
    encoder = load_encoder(EncoderChoice(name))
    pixels = prepare_pixels(EncoderChoice(name), 5)
    assert pixels.dtype == torch.uint8
    features = encoder(pixels)
    assert features.shape == (5, ENCODERS[name].feature_width)
    assert features.dtype == torch.float32
    alone = torch.cat([encoder(pixels[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(features, alone, rtol=1e-4, atol=1e-5)
    assert torch.pdist(features).min() > 1e-4  # it tells images apart, by ten times what may differ above


@pytest.mark.parametrize("name", ENCODERS)
def test_a_twin_is_the_same_every_time_and_leaves_the_random_state_alone(name: str) -> None:
    first = load_encoder(EncoderChoice(name)).state_dict()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = load_encoder(EncoderChoice(name)).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_preparing_and_encoding_is_open_clips_own_transform() -> None:
    choice = EncoderChoice("ViT-B/32")
    encoder = load_encoder(choice)
    image = images(1)[0]
    transform = image_transform_v2(PreprocessCfg(**encoder.tower.preprocess_cfg), is_train=False)
    with torch.inference_mode():
        expected = encoder.tower(transform(image)[None])
    np.testing.assert_allclose(encoder.encode(Preparation.of(choice)(image)[None]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_size_of_the_images_is_that_of_open_clips_model(name: str) -> None:
    tiny, real = PaperEncoder(name, "tiny"), PaperEncoder(name, "openai")
    assert set(np.ravel(load_encoder(EncoderChoice(name)).tower.preprocess_cfg["size"])) == {tiny.image_size}
    assert open_clip.get_model_config(real.architecture)["vision_cfg"]["image_size"] == real.image_size


@pytest.mark.slow
def test_encoders_are_named_and_images_prepared_without_pytorch() -> None:
    """A study whose features are there, and the tasks that decode, start without it: it takes seconds."""
    code = """
import sys
from PIL import Image
from vip5core.encoders import EncoderChoice, Preparation
choice = EncoderChoice("ViT-B/32")
Preparation.of(choice)(Image.new("RGB", (90, 70)))
print(choice.fingerprint, sorted({"torch", "open_clip", "transformers"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [EncoderChoice("ViT-B/32").fingerprint, "[]"]


@pytest.mark.slow
def test_open_clip_is_loaded_without_its_other_models_and_these_can_be_imported_later() -> None:
    code = """
import sys
from vip5core.encoders import EncoderChoice, load_encoder
load_encoder(EncoderChoice("RN50"))
print(sorted({"transformers", "timm"} & sys.modules.keys()))
import timm, transformers
print(transformers.PreTrainedModel.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "PreTrainedModel"]


def test_fingerprints_tell_encoders_and_weights_apart(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"some weights")
    choices = [EncoderChoice(name, weights) for name in ENCODERS for weights in ("tiny", "openai", str(file))]
    prints = [choice.fingerprint for choice in choices]
    assert len(set(prints)) == len(prints)
    assert EncoderChoice("RN50", "tiny").fingerprint == EncoderChoice("RN50", "tiny").fingerprint
    elsewhere = tmp_path / "moved" / "RN50.pt"
    elsewhere.parent.mkdir()
    file.rename(elsewhere)
    moved = EncoderChoice("RN50", str(elsewhere.parent))  # the content counts, not the path
    assert moved.fingerprint == prints[choices.index(EncoderChoice("RN50", str(file)))]
    elsewhere.write_bytes(b"other weights")
    assert EncoderChoice("RN50", str(elsewhere)).fingerprint != moved.fingerprint


def test_an_unknown_encoder_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown encoder 'ViT-B-32': did you mean 'ViT-B/32'\?"):
        load_encoder(EncoderChoice("ViT-B-32"))


def test_missing_or_invalid_weights_are_rejected(tmp_path: Path) -> None:
    for weights in (str(tmp_path / "RN50.pt"), str(tmp_path)):
        with pytest.raises(
            UserError, match=r"must be openai, tiny, provided, a weights file, or a folder that holds RN50\.pt"
        ):
            load_encoder(EncoderChoice("RN50", weights))


@pytest.mark.slow
def test_an_invalid_weights_file_is_rejected_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "RN50.pt").write_text("<html>not found</html>")
    with pytest.raises(UserError, match=r"weights '.*' of RN50 cannot be loaded"):
        load_encoder(EncoderChoice("RN50", str(tmp_path)))


@pytest.mark.slow
def test_local_weights_are_loaded_from_a_file_and_from_a_folder(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = open_clip.create_model("RN50-quickgelu")
    file = tmp_path / "RN50.pt"
    torch.save(model.state_dict(), file)
    choice = EncoderChoice("RN50", str(tmp_path))
    encoder = load_encoder(choice)
    theirs = model.visual.state_dict()
    ours = encoder.tower.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert encoder(prepare_pixels(choice, 1)).shape == (1, 1024)
    with pytest.raises(UserError, match="of RN101 cannot be loaded"):  # the weights of another model
        load_encoder(EncoderChoice("RN101", str(file)))


@pytest.mark.parametrize(
    ("choice", "module", "other"),
    [
        (EncoderChoice("RN50"), "vip5core.encoders.zoo", "vip5core.encoders.timm_models"),
        (EncoderChoice("timm:resnet18.a1_in1k"), "vip5core.encoders.timm_models", "vip5core.encoders.zoo"),
    ],
)
def test_features_are_computed_anew_if_their_code_changes(
    choice: EncoderChoice, module: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots: list[str] = []
    monkeypatch.setattr("vip5core.encoders.choice.code_identity", lambda *given: str(roots.extend(given)))
    choice.fingerprint  # noqa: B018  # computed when it is asked for
    reached = reached_modules(Path(vip5core.__file__).parent, tuple(roots))
    making = {f"vip5core.encoders.{name}" for name in ("images", "preparation", "preprocessing", "towers")}
    assert {*making, module, "vip5core.picture_formats"} <= reached.keys()
    assert other not in reached
