"""Trials whose items have tokens of their own: in prompts, targets, rankings, checkpoints and backbones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.shop import small_components, small_config
from support.tiny import random_backbone

from vip5core.backbones import P5_RECORD
from vip5core.data.dataset import Dataset
from vip5core.data.sources import options_of, prepare
from vip5core.data.vectors import item_vectors
from vip5core.decoding import BeamOptions, StepDecoder, Trie, TrieExpansion, beam_search
from vip5core.errors import UserError
from vip5core.evaluation.rank import PaperRanker
from vip5core.home import Home
from vip5core.model import ID_TOKENS, load_backbone, save_backbone
from vip5core.training.loop import fit, load_trainable
from vip5core.trial.components import TrialComponents
from vip5core.trial.fresh_backbone import fresh_backbone
from vip5core.trial.p5_spec import p5_config
from vip5core.trial.p5_stage import make_p5_backbone

SCHEMES = ("independent", "collaborative+independent", "semantic:text")


@pytest.fixture(scope="module")
def shops(shop_home: Home) -> dict[str, Dataset]:
    """The shop of the tests with each scheme. Read only."""
    return {
        scheme: Dataset.load(prepare("minimart:40", None, shop_home, options_of("minimart:40", id_scheme=scheme)))
        for scheme in SCHEMES
    }


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_items_are_words_of_tokens_behind_those_of_the_tokenizer(shops: dict[str, Dataset], scheme: str) -> None:
    dataset = shops[scheme]
    tables = small_components(dataset).tables
    assert tables.n_id_tokens == dataset.n_id_tokens > 0
    for item, ids in enumerate(dataset.items["id_tokens"], start=1):
        segment = tables.segment("item", item)
        assert (tables.ids(segment) - tables.first_id_token).tolist() == list(ids)
        starts = tables.starts_word[tables.offsets[segment] : tables.offsets[segment + 1]]
        assert starts.tolist() == [True] + [False] * (len(ids) - 1)


def test_an_independent_id_starts_as_a_number_of_one_piece_does(shop: Dataset, shops: dict[str, Dataset]) -> None:
    dataset, config = shops["independent"], p5_config()
    assert dataset.items["raw_id"].tolist() == shop.items["raw_id"].tolist()
    ours, numbered = fresh_backbone(dataset, config), fresh_backbone(shop, config)
    assert ours.extra_embeddings is not None
    pieces = numbered.tokenizer.convert_tokens_to_ids([f"▁{item}" for item in range(1, shop.n_items + 1)])
    torch.testing.assert_close(ours.extra_embeddings[ID_TOKENS], numbered.model.shared.weight[pieces].detach())


def test_a_token_of_several_items_starts_as_their_mean(shops: dict[str, Dataset]) -> None:
    dataset = shops["semantic:text"]
    backbone = fresh_backbone(dataset, p5_config())
    assert backbone.extra_embeddings is not None
    vectors = item_vectors(dataset, backbone.model.config.d_model, seed=0)
    with_first = [item for item, ids in enumerate(dataset.items["id_tokens"], 1) if 0 in ids]
    assert len(with_first) > 1
    np.testing.assert_allclose(backbone.extra_embeddings[ID_TOKENS][0], 0.3 * vectors[with_first].mean(0), atol=1e-6)


def test_an_independent_id_is_ranked_in_one_step_and_exactly(shops: dict[str, Dataset]) -> None:
    inputs = small_components(shops["independent"])
    config = small_config(tasks=("sequential",), image_tokens=0)
    evaluator, model = inputs.evaluator(config), inputs.model(config).eval()
    assert evaluator.ranker.options.max_new_tokens == 1
    samples = evaluator.questions("test", 3)["sequential"]
    for batches in evaluator.batches(samples, "sequential", model):
        with torch.inference_mode():
            states, masks = model.encode(batches), [batch.attention_mask for batch in batches]
            decoder = StepDecoder(model.backbone, states, masks)
            ranked = evaluator.ranker(decoder, [samples[row] for batch in batches for row in batch.rows], "test")
            assert decoder.position == 1
            first = StepDecoder(model.backbone, states, masks)
            scores = first.logits(first.step(torch.zeros((first.users, 1), dtype=torch.long)))[:, 0]
        for row, answer, score in zip((r for b in batches for r in b.rows), ranked, scores, strict=True):
            known = set(inputs.dataset.before(samples[row].user, "test").tolist())
            of_items = score[inputs.tables.first_id_token :].argsort(descending=True) + 1
            assert answer.items == [item for item in of_items.tolist() if item not in known][: config.num_beams]


def test_ids_of_different_lengths_are_ranked_by_their_probability() -> None:
    backbone, ids = random_backbone(0), [[3, 4], [3, 5, 6], [3, 5, 7], [8], [9, 4]]
    trie = Trie.build([np.array(row) for row in ids], range(1, 6), None)
    states, mask = torch.randn(1, 7, backbone.config.d_model), torch.ones(1, 7, dtype=torch.long)
    found = beam_search(StepDecoder(backbone, states[0], [mask]), TrieExpansion(trie), BeamOptions(5, max_new_tokens=3))
    expected = []
    for row in ids:
        labels = torch.tensor([row])
        logits = backbone(encoder_outputs=(states,), attention_mask=mask, labels=labels).logits.log_softmax(-1)
        expected.append(float(logits.detach()[0, range(len(row)), row].sum()))
    order = sorted(range(5), key=lambda place: -expected[place])
    assert trie.item[found.nodes[0]].tolist() == [place + 1 for place in order]
    torch.testing.assert_close(found.scores[0], torch.tensor([expected[place] for place in order]))
    with pytest.raises(ValueError, match="item 1 and another have the same tokens"):
        Trie.build([np.array([3, 4]), np.array([3, 4, 5])], [1, 2], None)


def test_free_beams_are_read_as_the_items_whose_ids_they_are(shops: dict[str, Dataset]) -> None:
    inputs = small_components(shops["semantic:text"])
    tables, pad = inputs.tables, inputs.tables.pad
    longest = [*tables.item_ids[6].tolist(), tables.eos, pad]
    beams = [longest, [*tables.item_ids[2].tolist(), tables.eos, pad], [*longest[1:], pad], [tables.eos] + [pad] * 5]
    texts = PaperRanker(inputs.backbone.tokenizer, tables, 4)._as_texts(torch.tensor(beams))
    assert texts == ["7", "3", "", ""]


def test_an_id_that_does_not_fit_a_target_is_refused(shops: dict[str, Dataset]) -> None:
    inputs = small_components(shops["semantic:text"])
    assert inputs.layout(small_config(max_target_tokens=5)).max_target_tokens == 5
    with pytest.raises(UserError, match=r"max_target_tokens=4: item ids of minimart \(semantic:text\) have up to 5"):
        inputs.layout(small_config(max_target_tokens=4))


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["adapter", "full"])
def test_only_the_rows_of_the_vocabulary_move_and_a_resumed_training_ends_alike(
    shops: dict[str, Dataset], tmp_path: Path, tuning: str
) -> None:
    config = small_config(tasks=("sequential",), image_tokens=0, tuning=tuning, reduction_factor=4)
    states = []
    for name, stops in (("whole", False), ("resumed", True)):
        inputs = small_components(shops["independent"])
        before = inputs.backbone.model.shared.weight.detach().clone()
        checkpoint = tmp_path / f"{name}-{tuning}.pt"
        if stops:
            stop = small_components(shops["independent"])

            def interrupt(metrics: dict[str, float]) -> None:
                raise KeyboardInterrupt

            model, data, evaluator = stop.model(config), stop.training_data(config), stop.evaluator(config)
            with pytest.raises(KeyboardInterrupt):
                fit(model, data, evaluator, config, interrupt, checkpoint=checkpoint)
        model = inputs.model(config)
        rows = model.backbone.shared.rows.weight.detach().clone()
        fitted = fit(
            model, inputs.training_data(config), inputs.evaluator(config), config, lambda _: None, checkpoint=checkpoint
        )
        assert not torch.equal(model.backbone.shared.rows.weight, rows)
        assert torch.equal(model.backbone.shared.table.weight, before) == (tuning == "adapter")
        states.append(fitted.best_state)
        other = small_components(shops["independent"]).model(config)
        load_trainable(other, fitted.best_state)
        assert torch.equal(other.backbone.lm_head.rows.weight, fitted.best_state["backbone.shared.rows.weight"])
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.slow
def test_a_p5_stage_keeps_the_rows_beside_an_unchanged_t5(
    shop: Dataset, shops: dict[str, Dataset], tmp_path: Path
) -> None:
    dataset = shops["collaborative+independent"]
    config = p5_config(epochs=1, tasks=("sequential",), max_samples=256, validation_users=5)
    folder = make_p5_backbone(dataset, config, tmp_path / "t5", lambda _: None, torch.device("cpu"))
    assert (folder / P5_RECORD).is_file()
    backbone = load_backbone(folder)
    assert backbone.extra_embeddings is not None
    learnt = backbone.extra_embeddings[ID_TOKENS]
    assert len(learnt) == dataset.n_id_tokens
    assert not torch.equal(learnt, fresh_backbone(dataset, config).extra_embeddings[ID_TOKENS])  # type: ignore[index]
    assert backbone.model.config.vocab_size == len(backbone.tokenizer) == len(backbone.model.shared.weight)
    trial = small_config(tasks=("sequential",), image_tokens=0)
    assert torch.equal(TrialComponents(dataset, backbone, None).model(trial).backbone.shared.rows.weight, learnt)
    with pytest.raises(UserError, match=f"has learnt item ids of {len(learnt)} tokens"):
        TrialComponents(shops["independent"], load_backbone(folder), None).model(trial)
    # A T5 that knows nothing of these ids gets new rows, and so does one that has numbers of its own.
    other = fresh_backbone(shop, config)
    start = save_backbone(other, tmp_path / "start")
    again = tmp_path / "again"
    make_p5_backbone(shops["independent"], config, again, lambda _: None, torch.device("cpu"), start=start)
    assert len(load_backbone(again).extra_embeddings[ID_TOKENS]) == shops["independent"].n_items  # type: ignore[index]
