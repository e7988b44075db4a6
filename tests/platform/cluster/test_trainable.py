"""One trial, without a cluster: what its folder holds, and what is never done twice."""

from __future__ import annotations

import socket

import pytest
import torch
from safetensors.torch import load_file
from support.trials import small

from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.trial.result import TrialResult
from vip5core.trial.run import run_trial
from vip5core.trial.spec import TrialSpec


def ignore(metrics: dict[str, float]) -> None:
    pass


@pytest.mark.slow
def test_a_trials_folder_says_all_about_it(text_only):
    spec = text_only.spec(small())
    seen = []
    result = TrialResult.load(run_trial(spec, text_only.home, seen.append))
    assert result.config == spec.config
    assert result.history == seen
    assert [metrics["epoch"] for metrics in seen] == [1.0, 2.0]
    assert not any(name.startswith("test/") for metrics in seen for name in metrics)  # the firewall
    for name in (
        "test/sequential/ndcg_at_10",
        "test/direct/hit_rate_at_1",
        "test/explanation/bleu_4",
        "cost/train_seconds",
        "cost/peak_memory_mb",
        "cost/samples_per_second",
        "model/trainable_percent",
    ):
        assert result.metrics[name] >= 0
    users = result.per_user
    ranking = users[users["task"] == "sequential"]
    assert len(ranking) == 10
    hits = (ranking["rank"].between(1, 5)).mean()
    assert result.metrics["test/sequential/hit_rate_at_5"] == pytest.approx(hits)
    weights = load_file(result.folder / "trainable.safetensors")
    assert sum(t.numel() for t in weights.values()) == result.metrics["model/trainable_parameters"]
    assert {"torch", "transformers", "python"} <= set(result.record.versions)
    assert result.record.host == socket.gethostname()
    assert sorted(p.name for p in text_only.home.trials.iterdir()) == [spec.fingerprint]


@pytest.mark.slow
def test_a_finished_trial_is_not_trained_again(text_only):
    spec = text_only.spec(small(epochs=1))
    folder = run_trial(spec, text_only.home, ignore)
    before = (folder / "result.json").stat().st_mtime_ns
    assert run_trial(spec, text_only.home, pytest.fail) == folder
    assert (folder / "result.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_the_same_trial_twice_gives_the_same_bytes_and_another_seed_others(text_only, tmp_path):
    def bytes_of(seed: int, home: str) -> tuple[bytes, bytes]:
        spec = text_only.spec(small(seed=seed, dropout=0.1))
        folder = run_trial(spec, Home(tmp_path / home), ignore)
        return (folder / "trainable.safetensors").read_bytes(), (folder / "per_user.parquet").read_bytes()

    assert bytes_of(0, "first") == bytes_of(0, "second")
    assert bytes_of(1, "first")[0] != bytes_of(0, "first")[0]


@pytest.mark.slow
def test_a_trial_that_was_cut_off_goes_on_to_the_same_end(text_only, tmp_path):
    spec = text_only.spec(small())

    def cut(metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(spec, text_only.home, cut)
    assert not spec.is_finished(text_only.home)
    torch.manual_seed(99)  # what else the process drew must not matter
    resumed = TrialResult.load(run_trial(spec, text_only.home, ignore))
    whole = TrialResult.load(run_trial(spec, Home(tmp_path / "elsewhere"), ignore))
    assert resumed.history == whole.history
    assert {k: v for k, v in resumed.metrics.items() if k.startswith("test/")} == {
        k: v for k, v in whole.metrics.items() if k.startswith("test/")
    }


@pytest.mark.slow
def test_images_need_features(text_only):
    with pytest.raises(UserError, match="image_tokens=2 needs image features"):
        text_only.spec(small(image_tokens=2))


def test_a_text_only_trial_is_the_same_under_every_encoder(text_only):
    specs = [text_only.spec(small(encoder=name)) for name in ("RN50", "ViT-L/14")]
    assert specs[0].fingerprint == specs[1].fingerprint
    assert isinstance(specs[0], TrialSpec)
