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
from vip5core.prompts.prompt import Layout, Sample
from vip5core.prompts.sampling import WINDOWS, TrainingSampler, evaluation_samples
from vip5core.prompts.tables import PromptTables, dataset_texts
from vip5core.prompts.tokenizer import PLACEHOLDER, item_piece, load_tokenizer, train_tokenizer, user_piece

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
    "dataset_texts",
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
