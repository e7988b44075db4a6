"""Every metric's direction, unit and format: tables, plots and search read it here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vip5core.errors import UserError


@dataclass(frozen=True)
class Metric:
    """How a metric is read.

    Attributes:
        label: for a table's head.
        higher_is_better: direction.
        unit: "" for shares and counts.
        format: of a value.
    """

    label: str
    higher_is_better: bool
    unit: str
    format: str

    def show(self, value: float | None) -> str:
        return "–" if value is None or value != value else format(value, self.format)


_METRICS: list[tuple[str, Metric]] = [
    (r"(valid|test)/(sequential|direct)/hit_rate_at_(\d+)", Metric("HR@{2}", True, "", ".4f")),
    (r"(valid|test)/(sequential|direct)/ndcg_at_(\d+)", Metric("NDCG@{2}", True, "", ".4f")),
    (r"(valid|test)/explanation/bleu_(\d)", Metric("BLEU-{1}", True, "%", ".2f")),
    (r"(valid|test)/explanation/bleu_4_characters", Metric("BLEU-4 (characters)", True, "%", ".2f")),
    (r"(valid|test)/explanation/sentence_bleu_4", Metric("sentence BLEU-4", True, "%", ".2f")),
    (r"(valid|test)/explanation/rouge_([12])", Metric("ROUGE-{1}", True, "%", ".2f")),
    (r"(valid|test)/explanation/rouge_l", Metric("ROUGE-L", True, "%", ".2f")),
    (r"(valid|test)/(sequential|direct)/invalid_share", Metric("invalid beams", False, "", ".3f")),
    (r"(valid|test)/(sequential|direct)/duplicate_share", Metric("duplicate beams", False, "", ".3f")),
    (r"(valid|train)/loss", Metric("loss", False, "nats", ".3f")),
    (r"valid/(sequential|direct|explanation)/loss", Metric("loss", False, "nats", ".3f")),
    (r"probe/(\w+)_clip", Metric("{0} probe, CLIP", True, "%", ".1f")),
    (r"probe/(\w+)_chance", Metric("{0} probe, chance", True, "%", ".1f")),
    (r"probe/(\w+)", Metric("{0} probe", True, "%", ".1f")),
    (r"cost/seconds", Metric("time", False, "s", ".1f")),
    (r"cost/train_seconds", Metric("train", False, "s", ".1f")),
    (r"cost/data_seconds", Metric("data", False, "s", ".1f")),
    (r"cost/validation_seconds", Metric("validate", False, "s", ".1f")),
    (r"cost/test_seconds", Metric("test", False, "s", ".1f")),
    (r"cost/probe_seconds", Metric("probe", False, "s", ".1f")),
    (r"cost/peak_memory_mb", Metric("peak memory", False, "MB", ".0f")),
    (r"cost/samples_per_second", Metric("samples/s", True, "1/s", ".0f")),
    (r"model/trainable_parameters", Metric("trainable", False, "", ",.0f")),
    (r"model/total_parameters", Metric("parameters", False, "", ",.0f")),
    (r"model/trainable_percent", Metric("trainable", False, "%", ".2f")),
    (r"model/best_epoch", Metric("best epoch", False, "", ".0f")),
]


def metric(name: str) -> Metric:
    """What is known of a metric.

    Raises:
        UserError: if nothing is.
    """
    for pattern, known in _METRICS:
        match = re.fullmatch(pattern, name)
        if match:
            return Metric(known.label.format(*match.groups()), known.higher_is_better, known.unit, known.format)
    raise UserError(
        f"unknown metric {name!r}: names look like valid/loss, test/sequential/ndcg_at_10, cost/train_seconds"
    )


def better(name: str, value: float, than: float) -> bool:
    """Is `value` strictly better than `than` by this metric's direction?"""
    return value > than if metric(name).higher_is_better else value < than
