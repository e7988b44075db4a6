"""The names of parameters in the official code, and ours."""

from __future__ import annotations

from vip5core.vocabulary import SHARED, TASKS

#: Parts of names there, and the same parts here; they translate both ways.
_PARTS = (
    ("encoder.whole_word_embeddings.", "whole_word_embeddings."),
    ("encoder.category_embeddings.", "category_embeddings."),
    ("encoder.visual_embedding.feat_embedding.0.model.0.", "mapping.inner."),
    ("encoder.visual_embedding.feat_embedding.0.model.2.", "mapping.outer."),
    ("encoder.visual_embedding.feat_embedding.1.", "mapping.norm."),
    (".attn_adapter.adapters.", ".SelfAttention.o.bank."),
    (".enc_attn_adapter.adapters.", ".EncDecAttention.o.bank."),
    (".ff_adapter.adapters.", ".DenseReluDense.wo.bank."),
    (".down_sampler.", ".down."),
    (".up_sampler.", ".up."),
)
_T5 = "backbone."


def our_name(official: str) -> str:
    """The name in a `VIP5` of a parameter of the official code, in which no map of the T5 is wrapped.

    >>> our_name("decoder.block.0.layer.2.ff_adapter.adapters.direct.up_sampler.bias")
    'backbone.decoder.block.0.layer.2.DenseReluDense.wo.bank.direct.up.bias'
    >>> our_name("encoder.visual_embedding.feat_embedding.1.weight"), our_name("shared.weight")
    ('mapping.norm.weight', 'backbone.shared.weight')
    """
    name = official
    for theirs, ours in _PARTS:
        name = name.replace(theirs, ours)
    outside_the_t5 = name.startswith(("mapping.", "whole_word_embeddings.", "category_embeddings."))
    return name if outside_the_t5 else f"{_T5}{name}"


def official_name(ours: str) -> str:
    """The name in the official code of one of our parameters; the reverse of `our_name`.

    An adapter that all tasks share has a name there for each of them, of which this is one.
    """
    name = ours.removeprefix(_T5).replace(f".bank.{SHARED}.", f".bank.{TASKS[0]}.")
    for theirs, part in _PARTS:
        name = name.replace(part, theirs)
    return name
