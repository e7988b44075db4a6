"""Every metric, declared once, for evaluation, tables, comparisons, plots and searches alike."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from vip5core.errors import UserError
from vip5core.metrics import ranking, text
from vip5core.metrics.lists import LIST_CUTOFF
from vip5core.metrics.metric import Metric
from vip5core.metrics.slices import SLICES, Slice
from vip5core.vocabulary import RANKING_TASKS, SPLITS, TASKS

_HELD_OUT = ("valid", "test")
#: All metrics by group and name, in the order in which tables show them.
METRICS: dict[tuple[str, str], Metric] = {}


def register(declared: Metric) -> Metric:
    """Add a metric; its declaration is all that the rest of the project needs.

    Raises:
        ValueError: if its group has a metric of that name.
    """
    key = (declared.group, declared.name)
    if key in METRICS:
        raise ValueError(f"metric {'/'.join(key)} has already been declared")
    METRICS[key] = declared
    return declared


def metrics_of(group: str) -> list[Metric]:
    """The metrics of a task or another group, in the order of their declaration."""
    return [known for known in METRICS.values() if known.group == group]


def metric(name: str) -> Metric:
    """The metric of a full name, such as `test/sequential/ndcg_at_10`, `valid/loss` or `cost/train_seconds`.

    Raises:
        UserError: if there is no such metric.
    """
    first, *rest = name.split("/")
    split, rest = (first, rest) if first in SPLITS else ("", [first, *rest])
    group, own = ("", *rest) if len(rest) == 1 else (rest[0], "/".join(rest[1:])) if rest else ("", "")
    known = METRICS.get((group, own)) or _of_family(group, own)
    if known is None or (split not in known.splits if known.splits else split):
        near = difflib.get_close_matches(name, metric_names(), n=1, cutoff=0.4)
        raise UserError(
            f"unknown metric {name!r}: {f'did you mean {near[0]!r}? ' if near else ''}"
            "names look like valid/loss, test/sequential/ndcg_at_10, cost/train_seconds"
        )
    return dataclasses.replace(known, split=split)


def metric_names() -> Iterator[str]:
    """The full name of every declared metric."""
    for (group, name), known in METRICS.items():
        own = f"{group}/{name}" if group else name
        yield from (f"{split}/{own}" for split in known.splits) if known.splits else (own,)


def compared_names() -> list[str]:
    """The full names of the metrics that comparisons test by default."""
    return [name for name in metric_names() if (known := metric(name)).in_comparisons and known.is_testable]


def score(values: Mapping[str, float], split: str) -> float:
    """`<split>/score`: the mean of the metrics that answer for the tasks, as shares of 1.

    Args:
        values: The metrics of a model, of one task or more.
        split: The split.
    """
    names = {f"{split}/{known.group}/{known.name}": known for known in METRICS.values() if known.in_answer}
    found = [values[name] / (100 if known.unit == "%" else 1) for name, known in names.items() if name in values]
    return sum(found) / len(found)


def answer_names() -> tuple[str, ...]:
    """The full names of the metrics that answer the question of a study which names none: one per task, on the test."""
    return tuple(f"test/{known.group}/{known.name}" for known in METRICS.values() if known.in_answer)


# ranking


def hit_rate_at(k: int, group: str, **use: Any) -> Metric:
    """HR@k: the share of users whose target is among the first k."""
    return Metric(
        *(group, f"hit_rate_at_{k}", f"HR@{k}", True, ".4f"),
        splits=_HELD_OUT,
        columns=("rank",),
        per_unit=lambda rows: ranking.hits(rows["rank"].to_numpy(), k),
        **use,
    )


def ndcg_at(k: int, group: str, **use: Any) -> Metric:
    """NDCG@k with one relevant item per user."""
    return Metric(
        *(group, f"ndcg_at_{k}", f"NDCG@{k}", True, ".4f"),
        splits=_HELD_OUT,
        columns=("rank",),
        per_unit=lambda rows: ranking.gains(rows["rank"].to_numpy(), k),
        **use,
    )


def in_slice(known: Metric, part: Slice) -> Metric:
    """A metric of the test over the users of a slice: `<task>/<slice>/<name>`."""
    return dataclasses.replace(
        known,
        name=f"{part.name}/{known.name}",
        label=f"{known.label}, {part.words}",
        splits=("test",),
        columns=(*known.columns, part.column),
        only=part.holds,
        in_table=False,
        in_comparisons=False,
        in_answer=False,
    )


def of_lists(
    group: str, name: str, higher_is_better: bool, format: str, unit: str = "", *, of_all: bool = False
) -> Metric:
    """A metric of what is recommended, for which the per-user rows have a column; see `vip5core.metrics.lists`.

    With `of_all` it is one value of all lists together, the same in every row, instead of one per user.
    """
    own = f"{name}_at_{LIST_CUTOFF}"
    return Metric(
        *(group, own, f"{name}@{LIST_CUTOFF}", higher_is_better, format, unit),
        splits=("test",),
        columns=(own,),
        per_unit=None if of_all else lambda rows: rows[own].to_numpy(float),
        overall=(lambda rows: float(rows[own].iloc[0])) if of_all else None,
        only=lambda rows: rows.reindex(columns=[own])[own].notna(),
    )


for _task in RANKING_TASKS:
    for _metric in (
        hit_rate_at(1, _task, in_table=_task == "direct"),
        hit_rate_at(5, _task, in_table=_task == "sequential"),
        hit_rate_at(10, _task, in_table=True, in_comparisons=True),
        ndcg_at(5, _task),
        ndcg_at(10, _task, in_table=True, in_comparisons=True, in_answer=True),
    ):
        register(_metric)
        for _slice in SLICES.values():
            register(in_slice(_metric, _slice))
    register(of_lists(_task, "coverage", True, ".3f", of_all=True))
    register(of_lists(_task, "popularity", False, ".1f"))
    register(of_lists(_task, "novelty", True, ".2f", "bits"))
    # Measured by a report, which has one set of features for all levels: see vip5platform.analysis.image_similarity.
    _alike = (f"image_similarity_at_{LIST_CUTOFF}", f"similarity@{LIST_CUTOFF}", False, ".3f")
    register(Metric(_task, *_alike, words=f"image similarity@{LIST_CUTOFF}", splits=("test",)))
    for _name, _column, _label in (
        ("invalid_share", "invalid", "invalid beams"),
        ("duplicate_share", "duplicates", "duplicate beams"),
    ):
        register(
            Metric(
                *(_task, _name, _label, False, ".3f"),
                splits=_HELD_OUT,
                columns=(_column, "beams"),
                overall=partial(ranking.share_of_beams, column=_column),
            )
        )

# texts

_text = partial(Metric, "explanation", higher_is_better=True, format=".2f", unit="%", splits=_HELD_OUT)
_texts = ("reference", "prediction")
register(_text("bleu_1", "BLEU-1", columns=_texts, overall=text.on_rows(partial(text.bleu, order=1))))
register(_text("bleu_4", "BLEU-4", columns=_texts, overall=text.on_rows(text.bleu), in_table=True))
# BLEU of a corpus is not a mean over its texts, so levels are compared by the mean BLEU of single texts.
register(
    _text(
        *("sentence_bleu_4", "sentence BLEU-4"),
        columns=_texts,
        per_unit=text.on_rows(text.sentence_bleus),
        in_table=True,
        in_comparisons=True,
        in_answer=True,
    )
)
register(_text("rouge_1", "ROUGE-1", columns=_texts, overall=text.on_rows(partial(text.mean_rouge, name="rouge_1"))))
register(_text("rouge_2", "ROUGE-2", columns=_texts, overall=text.on_rows(partial(text.mean_rouge, name="rouge_2"))))
register(
    _text(
        *("rouge_l", "ROUGE-L"),
        columns=_texts,
        per_unit=text.on_rows(partial(text.rouge_of, name="rouge_l")),
        in_table=True,
        in_comparisons=True,
    )
)
register(_text("bleu_4_characters", "BLEU-4 (characters)", columns=_texts, overall=text.on_rows(text.bleu_characters)))

# losses

_loss = partial(Metric, name="loss", label="loss", higher_is_better=False, format=".3f", unit="nats")
register(_loss("", splits=("valid", "train")))
for _task in TASKS:
    register(_loss(_task, splits=("valid",)))

# over all tasks

register(Metric("", "score", "score", True, ".4f", splits=("valid",)))

# what can be read off image tokens; see vip5core.evaluation.probe


def probe_of(attribute: str, **use: Any) -> Metric:
    """The accuracy of reading an attribute off the image tokens, or the share of neighbours that they preserve."""
    reference = re.fullmatch(r"(\w+)_(clip|chance)", attribute)
    if reference:
        what = {"clip": "CLIP", "chance": "chance"}[reference[2]]
        return Metric("probe", attribute, f"{reference[1]} probe, {what}", True, ".1f", "%")
    return Metric(
        *("probe", attribute, f"{attribute} probe", True, ".1f", "%"),
        columns=("value",),
        per_unit=lambda rows: rows["value"].to_numpy(float),
        **use,
    )


register(probe_of("neighbours", in_comparisons=True))

# what a trial costs, and how large its model is

_cost = partial(Metric, "cost")
register(_cost("seconds", "time", False, ".1f", "s", "trial time"))
register(_cost("train_seconds", "train", False, ".1f", "s", "training time", in_table=True))
register(_cost("samples_per_second", "samples/s", True, ".0f", "1/s", in_table=True))
register(_cost("peak_memory_mb", "peak memory", False, ".0f", "MB", in_table=True))
register(_cost("data_seconds", "data", False, ".1f", "s", "time for data"))
register(_cost("validation_seconds", "validate", False, ".1f", "s", "validation time"))
register(_cost("test_seconds", "test", False, ".1f", "s", "test time"))
register(_cost("probe_seconds", "probe", False, ".1f", "s", "probe time"))
_model = partial(Metric, "model")
register(_model("trainable_parameters", "trainable", False, ",.0f", words="trainable parameters", in_table=True))
register(_model("total_parameters", "parameters", False, ",.0f"))
register(_model("trainable_percent", "trainable", False, ".2f", "%", in_table=True))
register(_model("best_epoch", "best epoch", False, ".0f"))

#: Metrics with any cutoff k, by the part of their names before k, and the functions that declare them.
_CUTOFF_FAMILIES: dict[str, Callable[..., Metric]] = {"hit_rate_at": hit_rate_at, "ndcg_at": ndcg_at}


def _of_family(group: str, name: str) -> Metric | None:
    """A metric that is declared on demand, such as HR@3."""
    if group in RANKING_TASKS and (found := re.fullmatch(r"(?:(\w+)/)?(\w+_at)_([1-9]\d*)", name)):
        part, family = SLICES.get(found[1] or ""), _CUTOFF_FAMILIES.get(found[2])
        if family is None or (found[1] and part is None):
            return None
        made = family(int(found[3]), group)
        return in_slice(made, part) if part else made
    return probe_of(name) if group == "probe" and re.fullmatch(r"\w+", name) else None
