"""SASRec sees neither the future nor test items, is deterministic, learns sequences, and is stored completely."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from support.shop import small_components, small_config

from vip5core.baselines.identity import SasrecOptions, sasrec_folder
from vip5core.baselines.sasrec import (
    FittedSasrec,
    SasrecModel,
    evaluate_sasrec,
    run_sasrec,
    train_sasrec,
    training,
)
from vip5core.baselines.simple import evaluate_baseline
from vip5core.data.dataset import Dataset
from vip5core.data.sources import prepare
from vip5core.errors import UserError
from vip5core.evaluation.rank import allowed_items
from vip5core.fingerprint import sha256_file
from vip5core.home import Home
from vip5core.metrics import metric
from vip5core.prompts import Sample
from vip5core.trial.result import TrialResult

FEW = SasrecOptions(width=16, batch_size=16, epochs=3, max_history=20)


@pytest.fixture(scope="module")
def fitted(shop: Dataset) -> FittedSasrec:
    return train_sasrec(shop, FEW)


@pytest.fixture(scope="module")
def questions(shop: Dataset) -> dict[str, list[Sample]]:
    return small_components(shop).evaluator(small_config()).questions("test", None)


def with_histories(dataset: Dataset, histories: list[np.ndarray]) -> Dataset:
    """The dataset with other items in its histories, which keep their lengths."""
    interactions = dataset.interactions.copy()
    interactions["item"] = np.concatenate(histories).astype(np.int32)
    return dataclasses.replace(dataset, interactions=interactions)


def states(model: SasrecModel, histories: list[list[int]]) -> list[torch.Tensor]:
    lengths = torch.tensor([len(history) for history in histories])
    padded = torch.zeros(len(histories), int(lengths.max()), dtype=torch.int64)
    for row, history in zip(padded, histories, strict=True):
        row[: len(history)] = torch.tensor(history)
    with torch.inference_mode():
        return [row[:length] for row, length in zip(model.eval()(padded, lengths), lengths, strict=True)]


def test_a_later_item_does_not_change_what_follows_earlier_ones() -> None:
    model = SasrecModel(30, FEW)
    one, other = states(model, [[3, 7, 9, 11, 2], [3, 7, 9, 30, 1]])
    torch.testing.assert_close(one[:3], other[:3], rtol=0, atol=0)
    assert not torch.allclose(one[3:], other[3:])


def test_padding_makes_no_difference() -> None:
    model = SasrecModel(30, FEW)
    alone = states(model, [[3, 7, 9]])[0]
    beside = states(model, [[3, 7, 9], list(range(1, 16))])[0]
    torch.testing.assert_close(alone, beside)


def test_only_the_newest_items_count_and_padding_cannot_be_recommended(fitted: FittedSasrec) -> None:
    long = np.arange(1, 41)
    scores = fitted.scores([long, long[-FEW.max_history :], np.array([5])])
    assert scores.shape == (3, fitted.model.items.num_embeddings)
    torch.testing.assert_close(scores[0], scores[1])
    assert torch.isneginf(scores[:, 0]).all()
    assert torch.isfinite(scores[:, 1:]).all()


def test_the_gradient_is_that_of_the_plain_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of positions and micro-batches of similar length change the memory, not the numbers."""
    model = SasrecModel(30, dataclasses.replace(FEW, dropout=0.0))
    sequences = [np.array([3, 7, 9, 11]), np.array([4, 5]), np.array([1, 2, 3, 4, 5, 6, 7])]
    plain = [
        torch.nn.functional.cross_entropy(
            row @ model.items.weight[1:].T, torch.from_numpy(sequence[1:]) - 1, reduction="sum"
        )
        for sequence in sequences
        for row in model(torch.from_numpy(sequence[None, :-1]), torch.tensor([len(sequence) - 1]))
    ]
    (torch.stack(plain).sum() / 10).backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    monkeypatch.setattr(training, "_SCORES_AT_A_TIME", 31 * 3)
    model.zero_grad()
    total = sum(training._backward(model, part, 10) for part in (sequences[:2], sequences[2:]))
    assert total == pytest.approx(float(torch.stack(plain).sum().detach()), rel=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)


def test_the_loss_falls_and_every_epoch_is_reported(shop: Dataset) -> None:
    reported: list[tuple[int, int, str]] = []
    fitted = train_sasrec(
        shop,
        dataclasses.replace(FEW, epochs=6),
        progress=lambda done, total, news: reported.append((done, total, news)),
    )
    losses = [epoch["train/loss"] for epoch in fitted.history]
    assert losses[-1] < losses[0]
    assert [(done, total) for done, total, _ in reported] == [(epoch, 6) for epoch in range(1, 7)]


def test_the_same_seed_gives_the_same_numbers_and_leaves_the_generator_alone(
    shop: Dataset, fitted: FittedSasrec
) -> None:
    before = torch.get_rng_state()
    again = train_sasrec(shop, FEW)
    assert torch.equal(before, torch.get_rng_state())
    other = train_sasrec(shop, dataclasses.replace(FEW, seed=1))
    assert again.history == fitted.history
    for name, value in fitted.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert other.history != fitted.history


def test_the_test_items_are_never_read(shop: Dataset, fitted: FittedSasrec) -> None:
    histories = [shop.history(user).copy() for user in range(1, shop.n_users + 1)]
    for history in histories:
        history[-1] = history[-1] % shop.n_items + 1
    blind = train_sasrec(with_histories(shop, histories), FEW)
    assert blind.history == fitted.history
    for name, value in fitted.model.state_dict().items():
        assert torch.equal(value, blind.model.state_dict()[name])


@pytest.mark.slow
def test_validation_items_select_the_epoch_and_are_not_trained_on(shop: Dataset) -> None:
    histories = [shop.history(user).copy() for user in range(1, shop.n_users + 1)]
    for history in histories:
        history[-2] = history[-2] % shop.n_items + 1
    options = dataclasses.replace(FEW, epochs=8, patience=3, learning_rate=1e-2)
    one, other = train_sasrec(shop, options), train_sasrec(with_histories(shop, histories), options)
    both = list(zip(one.history, other.history, strict=False))
    assert all(a["train/loss"] == b["train/loss"] for a, b in both)
    assert any(a != b for a, b in both)
    for fitted in (one, other):
        values = [epoch["valid/sequential/ndcg_at_10"] for epoch in fitted.history]
        assert fitted.best_epoch == 1 + int(np.argmax(values))
        assert len(values) == min(options.epochs, fitted.best_epoch + options.patience)
    until_best = train_sasrec(shop, dataclasses.replace(options, epochs=one.best_epoch))
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, until_best.model.state_dict()[name])


@pytest.mark.slow
def test_split_by_time_it_is_trained_on_the_past_and_asked_about_the_future(shop_by_time: Dataset) -> None:
    dataset, future = shop_by_time, shop_by_time.interactions.copy()
    held_out = future["split"] == "test"
    future.loc[held_out, "item"] = future.loc[held_out, "item"] % dataset.n_items + 1
    fitted = train_sasrec(dataset, FEW)
    blind = train_sasrec(dataclasses.replace(dataset, interactions=future), FEW)
    assert blind.history == fitted.history
    asked = small_components(dataset).evaluator(small_config()).questions("test", None)
    rows = evaluate_sasrec(fitted, dataset, asked, small_config()).rows
    for _, part in rows.groupby("task"):
        assert part["user"].tolist() == dataset.asked_users("test").tolist()
        assert part["item"].tolist() == [dataset.target(user, "test") for user in part["user"]]


@pytest.mark.slow
def test_it_learns_a_sequence_that_popularity_cannot(shop: Dataset) -> None:
    """Each user goes through the catalogue from a random start: the next item is certain, and no item is popular."""
    rng = np.random.default_rng(0)
    lengths = [len(shop.history(user)) for user in range(1, shop.n_users + 1)]
    walks = [(rng.integers(shop.n_items) + np.arange(n)) % shop.n_items + 1 for n in lengths]
    planted = with_histories(shop, walks)
    asked = {
        "sequential": [
            dataclasses.replace(sample, item=planted.target(sample.user, "test"))
            for sample in small_components(shop).evaluator(small_config()).questions("test", None)["sequential"]
        ]
    }
    options = SasrecOptions(
        width=32, layers=1, batch_size=8, epochs=10, learning_rate=1e-2, dropout=0.0, max_history=20
    )
    mine, *_ = evaluate_sasrec(train_sasrec(planted, options), planted, asked, small_config())
    popular, *_ = evaluate_baseline("popularity", planted, asked, small_config())
    assert mine["test/sequential/hit_rate_at_1"] > 0.8
    assert popular["test/sequential/hit_rate_at_10"] < 0.6


def test_it_answers_the_same_questions_as_models(
    shop: Dataset, fitted: FittedSasrec, questions: dict[str, list[Sample]]
) -> None:
    metrics, rows, _ = evaluate_sasrec(fitted, shop, questions, small_config())
    assert rows.groupby("task").size().to_dict() == dict.fromkeys(("sequential", "direct"), shop.n_users)
    assert all(key.startswith("test/") and metric(key).label for key in metrics)
    _, simple, _ = evaluate_baseline(
        "popularity", shop, {task: questions[task] for task in ("sequential", "direct")}, small_config()
    )
    assert list(rows.columns) == list(simple.columns)
    for task in ("sequential", "direct"):
        part = rows[rows["task"] == task]
        for row, sample in zip(part.itertuples(), questions[task], strict=True):
            scores = fitted.scores([shop.before(sample.user, "test")])[0].numpy()
            allowed = allowed_items(shop, sample, "test", True)
            assert abs(row.rank - 1 - int((scores[allowed] > scores[sample.item]).sum())) <= 1  # rounding of a batch


@pytest.mark.slow
@pytest.mark.parametrize("test_users", [None, 7])
def test_a_run_answers_an_evaluators_questions_and_is_not_repeated(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test_users: int | None
) -> None:
    config = small_config(test_users=test_users)
    out = run_sasrec(shop, config, Home(tmp_path), FEW)
    assert out == sasrec_folder(shop, config, Home(tmp_path), FEW)
    result = TrialResult.load(out)
    expected = small_components(shop).evaluator(config).questions("test", test_users)
    _, rows, lists = evaluate_sasrec(train_sasrec(shop, FEW), shop, expected, config)
    pd.testing.assert_frame_equal(result.per_user, rows)
    pd.testing.assert_frame_equal(result.lists, lists)
    assert result.record.options == dataclasses.asdict(FEW)
    assert len(result.history) == FEW.epochs
    assert all(metric(key).label for key in result.metrics)

    written = sha256_file(out / "result.json")
    monkeypatch.setattr("vip5core.baselines.sasrec.evaluate.train_sasrec", None)  # would fail if called
    assert run_sasrec(shop, config, Home(tmp_path), FEW) == out
    assert sha256_file(out / "result.json") == written


def test_only_settings_that_change_the_answers_give_another_folder(shop: Dataset, tmp_path: Path) -> None:
    def folder(options: SasrecOptions = FEW, **settings: object) -> Path:
        return sasrec_folder(shop, small_config(**settings), Home(tmp_path), options)

    same = [folder(num_beams=20), folder(max_history=7), folder(encoder="RN50"), folder(seed=3)]
    same.append(folder(tasks=("sequential", "direct")))
    assert {*same} == {folder()}
    others = [folder(exclude_history=False), folder(test_users=5), folder(tasks=("direct",))]
    others += [folder(sequential_template="A-1"), folder(dataclasses.replace(FEW, seed=1))]
    assert len({folder(), *others}) == 1 + len(others)


def test_a_run_that_fails_leaves_no_folder(shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fail)  # the table is written by then
        with pytest.raises(RuntimeError, match="cut off"):
            run_sasrec(shop, small_config(), Home(tmp_path), dataclasses.replace(FEW, epochs=1))
    assert list((tmp_path / "baselines").iterdir()) == []


def test_impossible_requests_are_refused_before_training(shop: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tasks=explanation"):
        run_sasrec(shop, small_config(tasks=("explanation",)), Home(tmp_path))
    with pytest.raises(ValueError, match="width=10"):
        SasrecOptions(width=10, heads=4)


@pytest.mark.slow
def test_on_movielens_it_is_clearly_above_popularity(real_data: Path, tmp_path: Path) -> None:
    dataset = Dataset.load(prepare("movielens-100k", real_data / "movielens-100k", Home(tmp_path)))
    config = small_config(tasks=("sequential",))
    options = SasrecOptions(epochs=5, batch_size=16, max_history=50)
    result = TrialResult.load(run_sasrec(dataset, config, Home(tmp_path), options))
    asked = small_components(dataset).evaluator(config).questions("test", None)
    popular, *_ = evaluate_baseline("popularity", dataset, asked, config)
    assert result.metrics["test/sequential/hit_rate_at_10"] > 1.4 * popular["test/sequential/hit_rate_at_10"]
