"""Checkpoints of the official code become backbones: same outputs, trials start from them, anything else is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.golden import load_golden
from support.official import few_pieces, official_state, p5_state, write_checkpoint
from support.shop import random_features, shop_tokenizer, small_config

from vip5core.backbones import find_backbone, find_local_backbone
from vip5core.data.dataset import Dataset
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.model import VIP5, Backbone, build_vip5, fitting_options, load_backbone
from vip5core.official.convert import convert
from vip5core.official.names import official_name, our_name
from vip5core.prompts import Batch
from vip5core.trial.components import TrialComponents
from vip5core.trial.result import TrialResult
from vip5core.trial.run import run_trial
from vip5core.trial.spec import TrialSpec
from vip5core.vocabulary import TASKS

OUTPUTS: dict[str, Any] = {"rtol": 1e-4, "atol": 2e-5}  # the golden files' own tolerance
WIDTH, REDUCTION, FEATURES = 32, 4, 16  # of the golden models


def imported(file: Path) -> Backbone:
    return load_backbone(find_backbone(str(file), Home(file.parent / "home")))


def started(backbone: Backbone, features: torch.Tensor, **changes: Any) -> VIP5:
    """A model that starts from the adapters of its backbone, with settings that fit them, or others."""
    assert backbone.adapters is not None
    fitting = fitting_options(backbone.adapters, WIDTH)
    options = fitting.model_validate({**fitting.model_dump(), "adapter_start": "backbone", **changes})
    return build_vip5(backbone.model, options, features, backbone.extra_embeddings, backbone.adapters).eval()


def logits(model: VIP5, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return model([batch])


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    "variant", ["base", "n_vis3", "no_adapter", "gated_gelu", "multi_adapter_mixed_tasks", "no_vis_layernorm"]
)
def test_an_imported_vip5_has_the_outputs_of_the_official_code(tmp_path: Path, variant: str, prefix: str) -> None:
    golden = load_golden(variant)
    state = {f"{prefix}{name}": value for name, value in official_state(variant).items()}
    backbone = imported(write_checkpoint(tmp_path, state))
    batch = golden.batch()
    expected = golden.tensor("out/logits").flatten(0, 1)[batch.target_positions]
    torch.testing.assert_close(logits(started(backbone, golden.features()), batch), expected, **OUTPUTS)


@pytest.mark.parametrize("variant", ["base", "n_vis1", "no_adapter", "no_cross_adapter", "no_vis_layernorm"])
def test_sizes_and_settings_are_read_off_the_shapes(variant: str) -> None:
    expected = load_golden(variant).config
    official = convert(official_state(variant), "a file")
    for name in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "relative_attention_num_buckets"):
        assert getattr(official.config, name) == expected[name], name
    options = fitting_options(official.adapters, official.config.d_model)
    assert options.image_tokens == expected["n_vis_tokens"]
    assert options.mapping_norm == expected["use_vis_layer_norm"]
    assert bool(options.adapter_positions) == expected["use_adapter"]
    if expected["use_adapter"]:
        assert options.reduction_factor == expected["reduction_factor"]
        assert ("cross" in options.adapter_positions) == expected["add_adapter_cross_attn"]


def test_tasks_that_share_an_adapter_have_one_and_others_keep_theirs() -> None:
    one, each = (convert(official_state(name), "a file").adapters for name in ("base", "multi_adapter_mixed_tasks"))
    assert {name.split(".bank.")[1].split(".")[0] for name in one if ".bank." in name} == {"shared"}
    assert fitting_options(one, WIDTH).adapter_sharing == "shared"
    assert fitting_options(each, WIDTH).adapter_tasks == ("sequential", "direct", "explanation")


def test_every_official_name_is_translated_and_back() -> None:
    for name in official_state():
        assert official_name(our_name(name)) == name


def test_an_imported_p5_reads_text_as_the_official_one(tmp_path: Path) -> None:
    golden, state = load_golden("text_only"), p5_state()
    file = write_checkpoint(tmp_path, state)
    backbone = imported(file)
    assert backbone.adapters is None
    model, batch = (
        build_vip5(backbone.model, small_config(image_tokens=0), None, backbone.extra_embeddings),
        golden.batch(),
    )
    assert int(batch.whole_word_ids.max()) < 512
    expected = state["shared.weight"][batch.input_ids]
    expected += state["encoder.whole_word_embeddings.weight"][batch.whole_word_ids]  # and no category
    torch.testing.assert_close(model.embed([batch]).view_as(expected), expected)
    # rows that no official prompt had are always the same
    again = convert(state, "a file").extra_embeddings
    assert again is not None
    assert backbone.extra_embeddings is not None
    assert all(torch.equal(table, again[name]) for name, table in backbone.extra_embeddings.items())
    assert {len(table) for table in again.values()} == {1024, 2}


def test_a_file_is_imported_once_and_known_by_its_content(tmp_path: Path) -> None:
    file, home = write_checkpoint(tmp_path / "one", official_state()), Home(tmp_path)
    assert find_local_backbone(str(file), home) is None
    assert not home.backbones.exists()
    folder = find_backbone(str(file), home)
    assert folder.parent == home.backbones
    assert folder.name.startswith("imported-")
    assert find_local_backbone(str(file), home) == folder
    written = (folder / "model.safetensors").stat().st_mtime_ns
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert find_backbone(str(tmp_path / "two" / file.name), home) == folder  # wherever it lies
    assert find_backbone(f"p5:{file}", home) == folder  # a stage would train the same T5
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    torch.save(official_state("gated_gelu"), file)
    other = find_backbone(str(file), home)
    beside = file.parent / "tokenizer_config.json"
    beside.write_text(beside.read_text() + " ")  # another tokenizer is another backbone
    assert len({folder, other, find_backbone(str(file), home)}) == 3


@pytest.mark.slow
def test_finding_an_imported_backbone_again_needs_no_pytorch(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path, official_state())
    find_backbone(str(file), Home(tmp_path))
    code = (
        "import sys; from pathlib import Path; from vip5core.backbones import find_backbone\n"
        "from vip5core.home import Home\n"
        f"find_backbone({str(file)!r}, Home(Path({str(tmp_path)!r})))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def trial_of(shop: Dataset, folder: Path, **changes: Any) -> TrialSpec:
    """A small trial on the golden VIP5, whose embeddings are as many as T5s have: more than its tokenizer needs."""
    tokenizer, state = shop_tokenizer(shop), official_state()
    state["shared.weight"] = torch.randn(len(tokenizer) + 28, WIDTH, generator=torch.Generator().manual_seed(0)) * 0.3
    for tied in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        state[tied] = state["shared.weight"]
    backbone = find_backbone(str(write_checkpoint(folder, state, tokenizer)), Home(folder))
    store, source = folder / "store", random_features(shop, FEATURES)
    store.mkdir()
    np.save(store / "features.npy", source.features)
    source.ledger.to_parquet(store / "ledger.parquet")
    (store / "store.json").write_text(json.dumps({"fingerprint": "store"}))
    settings = {"reduction_factor": REDUCTION, "adapter_start": "backbone", "feature_scaling": "raw", **changes}
    config = small_config(tasks=("sequential",), epochs=1, test_users=8, **settings)
    return TrialSpec.of(config, shop.folder, backbone, store)


@pytest.mark.slow
def test_a_trial_starts_from_an_imported_vip5(shop: Dataset, tmp_path: Path) -> None:
    spec = trial_of(shop, tmp_path, learning_rate=1e-9)
    folder = run_trial(spec, Home(tmp_path), lambda _: None)
    result = TrialResult.load(folder)
    assert len(result.per_user) == 8
    # after steps of nearly no length, what was trained is what came with the file
    trained, came = load_file(folder / "trainable.safetensors"), convert(official_state(), "a file").adapters
    assert set(came) < set(trained)
    for name, value in came.items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=1e-6)


def test_a_trial_may_start_its_adapters_anew_or_leave_images_out(shop: Dataset, tmp_path: Path) -> None:
    spec = trial_of(shop, tmp_path, adapter_start="identity", reduction_factor=2, image_tokens=1)
    backbone = load_backbone(spec.backbone)
    inputs = TrialComponents(shop, backbone, random_features(shop, 5))
    adapters = inputs.model(spec.config).state_dict()
    assert not any(value.any() for name, value in adapters.items() if ".up." in name)
    text_only = small_config(image_tokens=0, adapter_start="backbone", reduction_factor=REDUCTION)
    model = TrialComponents(shop, load_backbone(spec.backbone), None).model(text_only)
    for name, value in model.state_dict().items():
        if ".bank." in name:
            assert torch.equal(value, backbone.adapters[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "width", "message"),
    [
        (
            {"reduction_factor": 8},
            FEATURES,
            r"'backbone\.encoder.*down\.weight' is \(8, 32\) in .* and \(4, 32\) in the",
        ),
        ({"image_tokens": 1}, FEATURES, r"'mapping\.inner\.weight' is \(32, 16\) in .* and \(16, 16\) in the trial"),
        ({}, 512, r"'mapping\.inner\.weight' is \(32, 16\) in .* \(32, 512\) in the trial: .* features of width 16"),
        (
            {"mapping_norm": False},
            FEATURES,
            r"'mapping\.norm\.weight' is \(64,\) in the backbone and absent in the trial",
        ),
        ({"adapter_positions": ("self",)}, FEATURES, r"EncDecAttention.* is .* and absent in the trial"),
        ({"adapter_sharing": "per_task"}, FEATURES, r"bank\.sequential.*' is absent in the backbone and \(8, 32\) in"),
        (
            {"tuning": "full"},
            FEATURES,
            r"absent in the trial: what came with it fits tuning=adapter reduction_factor=4 ad",
        ),
    ],
    ids=["reduction", "tokens", "features", "norm", "positions", "tasks", "tuning"],
)
def test_adapters_of_another_size_are_refused(tmp_path: Path, changes: dict, width: int, message: str) -> None:
    backbone = imported(write_checkpoint(tmp_path, official_state()))
    with pytest.raises(UserError, match=message):
        started(backbone, torch.zeros(3, width), **changes)


def test_a_backbone_without_adapters_cannot_start_any(tmp_path: Path) -> None:
    backbone = imported(write_checkpoint(tmp_path, p5_state()))
    with pytest.raises(UserError, match="no adapters came with this backbone; give an official VIP5 checkpoint"):
        build_vip5(backbone.model, small_config(image_tokens=0, adapter_start="backbone"))


class Anything:
    """An object that only its own class can unpickle."""


def changed(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """The golden state with other tensors; None leaves one out. `__` in names stands for a dot."""
    state = {**official_state(), **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in state.items() if value is not None}


BLOCK = "encoder.block.1.layer.0"
ADAPTER = f"{BLOCK}.attn_adapter.adapters"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (
            {"model": official_state(), "epoch": 3},
            "is no state dict: its entry 'model' is a dict: save the model's state",
        ),
        ([1, 2], "is no state dict but holds a list"),
        ({}, "is no state dict but holds a dict"),
        (
            {"weights": Anything()},
            r"holds the pickled object .*Anything that is not a tensor, and loading it could run",
        ),
        ({"embeddings.weight": torch.ones(3, 3)}, r"lacks the tensor 'shared\.weight': it is no P5"),
        (
            changed(**{f"{BLOCK}.SelfAttention.q.weight": None}),
            rf"lacks the tensor '{BLOCK}\.SelfAttention\.q\.weight'",
        ),
        (
            changed(**{f"{ADAPTER}.{task}.up_sampler.bias": None for task in TASKS}),
            rf"lacks the tensor '{ADAPTER}\.sequential\.up_sampler\.bias'",
        ),
        (
            changed(encoder__whole_word_embeddings__weight=None),
            r"lacks the tensor 'encoder\.whole_word_embeddings\.weight'",
        ),
        (changed(lm_head__adapter=torch.ones(1)), r"has a tensor that no P5 or VIP5 has, 'lm_head\.adapter'"),
        (
            changed(**{f"{ADAPTER}.rating.up_sampler.bias": torch.ones(32)}),
            rf"no P5 or VIP5 has, '{ADAPTER}\.rating\.up",
        ),
        (
            changed(**{f"{BLOCK}.SelfAttention.q.weight": torch.ones(16, 32)}),
            rf"'{BLOCK}\.SelfAttention\.q\.weight' has the shape \(16, 32\), but .* need \(32, 32\)",
        ),
        (changed(shared__weight=torch.ones(100)), r"'encoder\.embed_tokens\.weight' differs from 'shared\.weight'"),
        (
            changed(encoder__category_embeddings__weight=torch.ones(1, 32)),
            r"'encoder\.category.* need \(2 or more, 32\)",
        ),
        (
            changed(encoder__visual_embedding__feat_embedding__0__model__0__bias=torch.ones(5)),
            r"\(5,\), but .* \(32,\)",
        ),
    ],
    ids=[
        "wrapped",
        "list",
        "empty",
        "pickled object",
        "another model",
        "missing",
        "missing of an adapter",
        "missing words",
        "unknown",
        "unknown task",
        "shape",
        "untied",
        "shape of a table",
        "shape of the mapping",
    ],
)
def test_what_is_no_official_checkpoint_is_refused_in_one_line(tmp_path: Path, saved: Any, message: str) -> None:
    file = write_checkpoint(tmp_path, saved)
    with pytest.raises(UserError, match=message) as caught:
        find_backbone(str(file), Home(tmp_path))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "backbones").exists()


def test_damaged_and_absent_files_are_refused(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path, official_state())
    whole = file.read_bytes()
    for content in (b"", b"hello" * 30, whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as a checkpoint") as caught:
            find_backbone(str(file), Home(tmp_path))
        assert "\n" not in str(caught.value)
    for find in (find_backbone, find_local_backbone):
        with pytest.raises(UserError, match=r"--backbone '.*absent\.pth': there is no such file"):
            find(str(tmp_path / "absent.pth"), Home(tmp_path))


def test_a_tokenizer_beside_the_file_or_of_the_hub_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, home = write_checkpoint(tmp_path, official_state()), Home(tmp_path)
    way_out = r"put the tokenizer\.json of its T5 into"
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=rf"the tokenizer beside '.*' cannot be read \(.*\): {way_out}"):
        find_backbone(str(file), home)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=rf"none lies beside it, and no T5 of the hub is 32 wide: {way_out}"):
        find_backbone(str(file), home)
    monkeypatch.setattr("vip5core.official.importing._HUB", {WIDTH: "t5-small"})
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: 1 / 0)
    with pytest.raises(UserError, match=rf"that of t5-small cannot be downloaded from the hub: {way_out}"):
        find_backbone(str(file), home)
    few_pieces().save_pretrained(home.downloaded_backbone("t5-small"))
    assert len(load_backbone(find_backbone(str(file), home)).tokenizer) == len(few_pieces())


def test_a_tokenizer_with_more_pieces_than_embeddings_is_refused(shop: Dataset, tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path, official_state(), shop_tokenizer(shop))
    with pytest.raises(UserError, match=r"has embeddings of 100 tokens .* its tokenizer knows \d+: put the tokenizer"):
        find_backbone(str(file), Home(tmp_path))
