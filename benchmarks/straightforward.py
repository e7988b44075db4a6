"""The straightforward way to a training loss: text, tokens and features, sample by sample, padded to the longest."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.subject import Subject
from vip5core.model import target_losses
from vip5core.parity.render import render
from vip5core.prompts import IGNORED, PLACEHOLDER, Batch, Sample


def straightforward_loss(subject: Subject, samples: list[Sample]) -> torch.Tensor:
    """The loss of one padded batch; a text and a feature at a time are read."""
    model, config = subject.model, subject.config
    whole_table = model.features
    assert whole_table is not None
    batch, features = straightforward_batch(subject, samples)
    model.features = features
    try:
        with torch.autocast(subject.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            batches = [batch.to(subject.device)]
            logits = model(batches)
    finally:
        model.features = whole_table
    return target_losses(logits, batches, config.loss).mean()


def straightforward_batch(subject: Subject, samples: list[Sample]) -> tuple[Batch, torch.Tensor]:
    """One padded batch, and the features of its images in order."""
    inputs, n = subject.inputs, subject.config.image_tokens
    tokenizer, templates, layout = inputs.backbone.tokenizer, inputs.tables.templates, inputs.layout(subject.config)
    placeholder = tokenizer.convert_tokens_to_ids(PLACEHOLDER)
    prompts, words, labels, features = [], [], [], []
    for sample in samples:
        source, target = render(sample, inputs.dataset, templates, layout)
        ids = tokenizer(source)["input_ids"][: layout.max_source_tokens]
        prompts.append(torch.tensor(ids))
        words.append(torch.tensor(whole_words(tokenizer.convert_ids_to_tokens(ids))))
        labels.append(torch.tensor(tokenizer(target)["input_ids"][: layout.max_target_tokens]))
        features += [torch.from_numpy(subject.features[item]) for item in _images(sample)]
    input_ids = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True, padding_value=tokenizer.pad_token_id)
    target_ids = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
    category_ids = input_ids.eq(placeholder).long()
    batch = Batch(
        input_ids=input_ids,
        whole_word_ids=torch.nn.utils.rnn.pad_sequence(words, batch_first=True),
        category_ids=category_ids,
        attention_mask=input_ids.ne(tokenizer.pad_token_id).long(),
        image_items=torch.arange(len(features)),
        image_positions=category_ids.flatten().nonzero().view(-1, n),
        labels=target_ids,
        target_positions=(target_ids != IGNORED).flatten().nonzero().flatten(),
        rows=np.arange(len(samples)),
        task="mixed",
    )
    return batch, torch.stack(features).to(subject.device)


def _images(sample: Sample) -> list[int]:
    """The items whose images a prompt shows, in reading order."""
    shown: list[int] = []
    for piece in sample.template.source:
        if piece.is_field and piece.text == "image":
            shown.append(sample.item)
        elif piece.is_field and piece.text in ("history", "candidates"):
            shown += getattr(sample, piece.text).tolist()
    return shown


def whole_words(pieces: list[str]) -> list[int]:
    """The number of the word that each piece belongs to, from 1; 0 at `</s>`."""
    numbers: list[int] = []
    current = 0
    for piece in pieces:
        current += piece.startswith("▁") or piece == PLACEHOLDER
        numbers.append(current)
    return [*numbers[:-1], 0]
