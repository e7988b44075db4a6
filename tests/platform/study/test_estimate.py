"""What trials will take, and what of them other code has made."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from support.finished import finished_trial
from support.trials import small
from vip5platform.console import duration
from vip5platform.options import Options
from vip5platform.study.dry_run import show_plan
from vip5platform.study.estimate import (
    count_finished_by_other_code,
    estimate_seconds,
    estimate_stage_seconds,
    load_earlier_results,
    load_earlier_stages,
    longest_first,
)
from vip5platform.study.plan import InputRequest, PlannedTrial

from vip5core.backbones import P5_RECORD
from vip5core.data.dataset import Dataset
from vip5core.fingerprint import code_version
from vip5core.home import Home
from vip5core.trial.p5_record import P5Record
from vip5core.trial.p5_spec import P5Stage
from vip5core.trial.p5_stage import prompts_per_epoch
from vip5core.trial.result import Content, TrialRecord
from vip5core.trial.spec import TrialSpec


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def test_a_trial_takes_what_the_most_similar_earlier_ones_took_per_epoch(home):
    for number, (tuning, seconds) in enumerate([("adapter", 10.0), ("adapter", 14.0), ("full", 40.0)]):
        finished_trial(home, str(number), [1, 2], config=small(tuning=tuning), seconds=seconds)
    earlier = load_earlier_results(home)
    assert estimate_seconds(small(epochs=4), "d", earlier) == 24.0  # 6 s an epoch: the median of 5 and 7
    assert estimate_seconds(small(epochs=4, tuning="full"), "d", earlier) == 80.0
    assert estimate_seconds(small(), "another dataset", earlier) is None
    assert estimate_seconds(small(backbone="mini"), "d", earlier) is None


def finished_stage(home: Home, shop: Dataset, rate: float, **settings: object) -> None:
    """The record of a stage that trained `rate` prompts a second and validated for a second in each of two epochs."""
    stage = P5Stage.of("tiny", shop, home, settings)
    history = [{"epoch": 1.0, "valid/loss": 2.0}, {"epoch": 2.0, "valid/loss": 1.0}]
    content = Content(name=shop.name, fingerprint=shop.fingerprint)
    record = TrialRecord(fingerprint=stage.name, code="c", dataset=content)
    metrics = {"cost/validation_seconds": 2.0, "cost/samples_per_second": rate}
    stage.folder.mkdir(parents=True)
    (stage.folder / P5_RECORD).write_text(P5Record(stage.config, metrics, history, record).text)


@pytest.mark.slow
def test_a_p5_stage_takes_what_similar_prompts_took(home, shop):
    stage = P5Stage.of("tiny", shop, home, {"epochs": 5})
    assert estimate_stage_seconds(stage, 1000, load_earlier_stages(home)) is None
    finished_stage(home, shop, 100.0, batch_size=8)
    finished_stage(home, dataclasses.replace(shop, folder=home.root / "other"), 500.0, max_history=7)
    earlier = load_earlier_stages(home)
    assert len(earlier) == 2
    assert estimate_stage_seconds(stage, 1000, earlier) == 55.0  # 10 s of prompts and 1 s of validation an epoch
    assert estimate_stage_seconds(P5Stage.of("tiny", shop, home, {"epochs": 1, "max_history": 7}), 1000, earlier) == 3.0
    assert estimate_stage_seconds(P5Stage.of("mini", shop, home), 1000, earlier) is None


def test_a_dry_run_says_what_a_p5_stage_will_do(home, shop, shop_home, capsys):
    options = Options(dataset=str(shop.folder), home=home.root, p5_settings=(("epochs", "3"), ("patience", "2")))
    planned = [PlannedTrial({"t": "0"}, InputRequest(str(shop.folder), None, "tiny"), small())]
    prompts = prompts_per_epoch(shop, P5Stage.of("tiny", shop, home, {"epochs": "3"}).config)
    said = f"P5 stage of tiny on minimart, random ids: {prompts:,} prompts an epoch, at most 3 epochs: "
    show_plan(planned, options)
    assert f"{said}no estimate" in " ".join(capsys.readouterr().out.split())
    finished_stage(home, shop, prompts / 9.0)
    show_plan(planned, options)
    assert f"{said}30 s" in " ".join(capsys.readouterr().out.split())


def test_a_folder_that_cannot_be_read_is_passed_over(home):
    finished_trial(home, "good", [1])
    for name, text in (("torn", '{"config": '), ("strange", '{"config": {"unknown": 1}}')):
        home.trial(name).mkdir()
        (home.trial(name) / "result.json").write_text(text)
    assert [result.folder.name for result in load_earlier_results(home)] == ["good"]


def test_trials_of_other_code_are_counted_not_used(home, shop):
    spec = TrialSpec(small(), shop.folder, home.root, None, "new")
    finished_trial(home, "old", [1], dataset=shop.fingerprint, code="older")
    finished_trial(home, "now", [1], dataset=shop.fingerprint, code=code_version(), config=small(seed=1))
    other = TrialSpec(small(seed=1), shop.folder, home.root, None, "other")
    assert count_finished_by_other_code([spec, other], {shop.folder: shop.fingerprint}, load_earlier_results(home)) == 1
    assert not spec.is_finished(home)


@pytest.mark.parametrize(("seconds", "said"), [(3, "3.0 s"), (89, "89 s"), (600, "10 min"), (7320, "2 h 2 min")])
def test_durations_as_a_person_says_them(seconds, said):
    assert duration(seconds) == said


def order(specs: list[TrialSpec], shop: Dataset, home: Home) -> list[str]:
    return [spec.fingerprint for spec in longest_first(specs, {shop.folder: shop}, load_earlier_results(home))]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"epochs": 4}, {"epochs": 2}),
        ({"image_tokens": 4}, {"image_tokens": 2}),
        ({"samples_per_user": (2, 1, 1, 1)}, {}),
        ({"num_beams": 20}, {}),
    ],
)
def test_without_earlier_trials_those_with_more_to_do_come_first(home, shop, untrained, first, second):
    long, short = (
        TrialSpec(small(**changes), shop.folder, untrained, None, name)
        for changes, name in ((first, "long"), (second, "short"))
    )
    assert order([short, long], shop, home) == ["long", "short"]
    assert order([long, short], shop, home) == ["long", "short"]


def test_a_larger_backbone_takes_longer_and_the_encoder_does_not_matter(home, shop, untrained, tmp_path):
    large = shutil.copytree(untrained, tmp_path / "large")
    (large / "more.safetensors").write_bytes(b"weights")
    specs = [
        TrialSpec(small(encoder="RN50"), shop.folder, untrained, None, "RN50"),
        TrialSpec(small(encoder="ViT-L/14"), shop.folder, untrained, None, "ViT-L/14"),
        TrialSpec(small(), shop.folder, large, None, "large"),
    ]
    assert order(specs, shop, home) == ["large", "RN50", "ViT-L/14"]


def test_what_earlier_trials_took_counts_more_than_what_there_is_to_do(home, shop, untrained):
    slow, fast = small(tuning="full"), small(image_tokens=4)
    specs = [TrialSpec(config, shop.folder, untrained, None, config.tuning) for config in (fast, slow)]
    assert order(specs, shop, home) == ["adapter", "full"]
    for config, seconds in ((slow, 40.0), (fast, 10.0)):
        finished_trial(home, config.tuning, [1, 2], config=config, seconds=seconds, dataset=shop.fingerprint)
    assert order(specs, shop, home) == ["full", "adapter"]
