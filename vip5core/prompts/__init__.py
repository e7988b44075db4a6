"""Prompts: tokenised texts, sampling, and batches of tensors."""

from vip5core.prompts.batches import (
    IGNORED,
    Batch,
    Capacity,
    GroupingCosts,
    group_by_length,
    micro_batches,
    pad,
    pad_groups,
)
from vip5core.prompts.compile import CompiledSamples, compile_samples
from vip5core.prompts.layout import Layout
from vip5core.prompts.sampling import WINDOWS, TrainingSampler
from vip5core.prompts.tables import PromptTables
from vip5core.prompts.tokenizer import PLACEHOLDER, item_piece, load_tokenizer, train_tokenizer, user_piece
from vip5core.wording import Sample, evaluation_samples

__all__ = [
    "IGNORED",
    "PLACEHOLDER",
    "WINDOWS",
    "Batch",
    "Capacity",
    "CompiledSamples",
    "GroupingCosts",
    "Layout",
    "PromptTables",
    "Sample",
    "TrainingSampler",
    "compile_samples",
    "evaluation_samples",
    "group_by_length",
    "item_piece",
    "load_tokenizer",
    "micro_batches",
    "pad",
    "pad_groups",
    "train_tokenizer",
    "user_piece",
]
