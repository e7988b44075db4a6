"""Prompts: templates, tokenised tables, sampling, and batches of tensors."""

from vip5core.prompts.batches import Batch, compile_samples, micro_batches, pad
from vip5core.prompts.prompt import Layout, Sample
from vip5core.prompts.sampling import SamplingOptions, TrainingSampler, evaluation_samples
from vip5core.prompts.tables import PromptTables
from vip5core.prompts.templates import TASKS, Template, TemplateSet, default_templates
from vip5core.prompts.tokenizer import embedded_tokenizer, load_tokenizer

__all__ = [
    "TASKS",
    "Batch",
    "Layout",
    "PromptTables",
    "Sample",
    "SamplingOptions",
    "Template",
    "TemplateSet",
    "TrainingSampler",
    "compile_samples",
    "default_templates",
    "embedded_tokenizer",
    "evaluation_samples",
    "load_tokenizer",
    "micro_batches",
    "pad",
]
