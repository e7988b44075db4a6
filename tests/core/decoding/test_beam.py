"""Our beam search gives the results of transformers, constrained and free, and of the official code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.golden import load_golden
from support.tiny import random_backbone
from transformers import T5ForConditionalGeneration

from vip5core.decoding import (
    STEPS_PER_LOOK,
    BeamOptions,
    FreeExpansion,
    StepDecoder,
    Trie,
    TrieExpansion,
    beam_search,
    greedy,
)

EOS = 1


def encode(backbone: T5ForConditionalGeneration, users: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random encoder states and a mask with rows of different length."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(users, 7, backbone.config.d_model, generator=generator)
    lengths = torch.randint(3, 8, (users,), generator=generator)
    return states, (torch.arange(7) < lengths[:, None]).long()


def catalogue(rng: np.random.Generator, n: int) -> list[np.ndarray]:
    """`n` different token sequences of one to four tokens, some of them prefixes of others."""
    seen: dict[tuple[int, ...], None] = {}
    while len(seen) < n:
        seen[tuple(rng.integers(3, 12, rng.integers(1, 5)).tolist())] = None
    return [np.array(s) for s in seen]


def hf_constrained(
    backbone: T5ForConditionalGeneration,
    states: torch.Tensor,
    mask: torch.Tensor,
    sequences: list[list[np.ndarray]],
    options: BeamOptions,
) -> tuple[list[list[tuple[int, ...]]], list[list[float]]]:
    """`generate` with the same trie as a callback; valid hypotheses of each user with their scores."""
    tries: list[dict] = []
    for user_sequences in sequences:
        root: dict = {}
        for sequence in user_sequences:
            node = root
            for token in (*sequence.tolist(), EOS):
                node = node.setdefault(token, {})
        tries.append(root)

    def allowed(user: int, prefix: torch.Tensor) -> list[int]:
        node = tries[user]
        for token in prefix[1:].tolist():
            node = node.get(token, {})
        return list(node) or [0]

    from transformers.modeling_outputs import BaseModelOutput

    out = backbone.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        attention_mask=mask,
        prefix_allowed_tokens_fn=allowed,
        num_beams=options.num_beams,
        num_return_sequences=options.num_beams,
        max_new_tokens=options.max_new_tokens,
        length_penalty=options.length_penalty,
        early_stopping=options.early_stopping,
        output_scores=True,
        return_dict_in_generate=True,
    )
    ids, scores = [], []
    for user, user_sequences in enumerate(sequences):
        items = {tuple(s.tolist()) for s in user_sequences}
        rows = slice(user * options.num_beams, (user + 1) * options.num_beams)
        found = [
            (tuple(row[1 : row.index(EOS)]), score)
            for row, score in zip(out.sequences[rows].tolist(), out.sequences_scores[rows].tolist(), strict=True)
            if EOS in row and score > -1e6 and tuple(row[1 : row.index(EOS)]) in items
        ]
        ids.append([sequence for sequence, _ in found])
        scores.append([score for _, score in found])
    return ids, scores


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 60),
    num_beams=st.integers(2, 12),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0]),
    early_stopping=st.booleans(),
    restricted=st.booleans(),
)
@pytest.mark.slow
def test_constrained_search_equals_generate(
    seed: int, n_items: int, num_beams: int, length_penalty: float, early_stopping: bool, restricted: bool
) -> None:
    rng = np.random.default_rng(seed)
    users = 3
    backbone = random_backbone(seed)
    states, mask = encode(backbone, users, seed)
    sequences = catalogue(rng, n_items)
    trie = Trie.build(sequences, range(1, n_items + 1), EOS)
    allowed = torch.ones(users, n_items + 1, dtype=torch.bool)
    if restricted:  # each user may only see some of the items
        allowed = torch.from_numpy(rng.random((users, n_items + 1)) < 0.5)
        allowed[torch.arange(users), torch.from_numpy(rng.integers(1, n_items + 1, users))] = True
    options = BeamOptions(num_beams, length_penalty, early_stopping, max_new_tokens=6)

    ours = beam_search(
        StepDecoder(backbone, states.flatten(0, 1), [mask]),
        TrieExpansion(trie, trie.open_nodes(allowed) if restricted else None),
        options,
    )
    per_user = [[s for i, s in enumerate(sequences, 1) if allowed[user, i]] for user in range(users)]
    ids, scores = hf_constrained(backbone, states, mask, per_user, options)
    for user in range(users):
        valid = ours.scores[user] > float("-inf")
        items = trie.item[ours.nodes[user][valid]].tolist()
        assert len(set(items)) == len(items)
        if early_stopping and len(ids[user]) < num_beams:
            # Where a trie has fewer than 2K continuations, transformers fills up with copies scored -1e9, which count
            # as finished and stop the search early: its results lack items there.
            if len(per_user[user]) <= num_beams:
                assert len(items) == len(per_user[user])
            continue
        assert [tuple(sequences[item - 1].tolist()) for item in items] == ids[user]
        assert ours.scores[user][valid].tolist() == pytest.approx(scores[user], abs=2e-5)


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_free_search_equals_generate(num_beams: int, early_stopping: bool) -> None:
    backbone = random_backbone(5)
    states, mask = encode(backbone, 4, 5)
    options = BeamOptions(num_beams, 1.0, early_stopping, max_new_tokens=9)
    ours = beam_search(StepDecoder(backbone, states.flatten(0, 1), [mask]), FreeExpansion(), options)
    from transformers.modeling_outputs import BaseModelOutput

    theirs = backbone.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=states),
        attention_mask=mask,
        num_beams=num_beams,
        num_return_sequences=num_beams,
        max_new_tokens=9,
        length_penalty=1.0,
        early_stopping=early_stopping,
        output_scores=True,
        return_dict_in_generate=True,
    )
    expected = torch.zeros_like(ours.tokens.flatten(0, 1))
    expected[:, : theirs.sequences.shape[1] - 1] = theirs.sequences[:, 1:]
    assert torch.equal(ours.tokens.flatten(0, 1), expected)
    if num_beams > 1:
        torch.testing.assert_close(ours.scores.flatten(), theirs.sequences_scores, rtol=0, atol=2e-5)


def run_official_protocol(name: str, num_beams: int, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Our search in the official protocol, in the layout of the golden files."""
    golden = load_golden(name)
    model, batch = golden.model(), golden.batch()
    model.features = golden.features()
    with torch.inference_mode():
        decoder = StepDecoder(model.backbone, model.encode([batch]), [batch.attention_mask])
        found = beam_search(decoder, FreeExpansion(), BeamOptions(num_beams, 1.0, True, max_length - 1))
    tokens = found.tokens.flatten(0, 1).numpy()
    return np.concatenate([np.zeros((len(tokens), 1), dtype=np.int64), tokens], axis=1), found.scores.flatten().numpy()


def test_the_papers_search_reproduces_the_official_beams() -> None:
    ids, scores = run_official_protocol("beam_eos", 20, 50)
    golden = load_golden("beam_eos").arrays
    expected = golden["gen/beam20/ids"]
    np.testing.assert_array_equal(ids[:, : expected.shape[1]], expected)
    assert not ids[:, expected.shape[1] :].any()
    np.testing.assert_allclose(scores, golden["gen/beam20/scores"], rtol=1e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["base", "no_adapter", "gated_gelu", "n_vis1", "text_only", "multi_adapter_mixed_tasks"]
)
def test_greedy_reproduces_the_official_texts(name: str) -> None:
    golden = load_golden(name)
    model, batch = golden.model(), golden.batch()
    model.features = golden.features()
    expected = golden.arrays["gen/greedy/ids"]
    with torch.inference_mode(), model.adapters_of(batch.task):
        texts = greedy(
            StepDecoder(model.backbone, model.encode([batch]), [batch.attention_mask]),
            expected.shape[1] - 1,
        )
    np.testing.assert_array_equal(texts.numpy(), expected[:, 1:])


@pytest.mark.slow
def test_search_as_wide_as_the_catalogue_is_the_exact_ranking() -> None:
    rng = np.random.default_rng(3)
    backbone = random_backbone(3)
    states, mask = encode(backbone, 2, 3)
    sequences = catalogue(rng, 50)
    trie = Trie.build(sequences, range(1, 51), EOS)
    exact = beam_search(
        StepDecoder(backbone, states.flatten(0, 1), [mask]), TrieExpansion(trie), BeamOptions(num_beams=50)
    )
    from transformers.modeling_outputs import BaseModelOutput

    for user in range(2):
        likelihood = []
        for sequence in sequences:
            labels = torch.tensor([[*sequence.tolist(), EOS]])
            out = backbone(
                encoder_outputs=BaseModelOutput(last_hidden_state=states[user : user + 1]),
                attention_mask=mask[user : user + 1],
                labels=labels,
            )
            likelihood.append(float(out.logits.detach()[0].log_softmax(-1).gather(1, labels.T).sum()))
        order = 1 + np.argsort(-np.array(likelihood))
        assert trie.item[exact.nodes[user]].tolist() == order.tolist()
        assert exact.scores[user].tolist() == pytest.approx(sorted(likelihood, reverse=True), abs=2e-5)


def test_two_items_with_the_same_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="same tokens"):
        Trie.build([np.array([3, 4]), np.array([3, 4])], [1, 2], EOS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_looking_seldom_for_what_can_be_dropped_changes_no_result(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = random_backbone(seed)
    states, mask = encode(backbone, 5, seed)
    trie = Trie.build(catalogue(np.random.default_rng(seed), 30), range(1, 31), EOS)
    endless = greedy(StepDecoder(backbone, states.flatten(0, 1), [mask]), 12)
    found = []
    for steps in (1, 4, 100):
        monkeypatch.setitem(STEPS_PER_LOOK, "cpu", steps)
        decoders = [StepDecoder(backbone, states.flatten(0, 1), [mask]) for _ in range(3)]
        decoders[2].eos_id = int(endless[0, 5])  # a random model never ends a text with the usual token
        with torch.inference_mode():
            ranked = beam_search(decoders[0], TrieExpansion(trie), BeamOptions(num_beams=7))
            free = beam_search(decoders[1], FreeExpansion(), BeamOptions(5, 1.0, True, max_new_tokens=9))
            found.append((ranked.nodes, free.tokens, greedy(decoders[2], 12)))
    assert (found[0][2][0, 6:] == decoders[2].pad_id).all()
    for seldom in found[1:]:
        for ours, theirs in zip(seldom, found[0], strict=True):
            assert torch.equal(ours, theirs)
