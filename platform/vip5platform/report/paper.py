"""The paper's own figures beside a study's, and what keeps the two from being compared.

Figures: arXiv 2305.14302, templates A-3, B-8 and C-12, one run each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vip5core.config import TrialConfig
from vip5core.data import Dataset
from vip5core.data.readers.amazon import CATEGORIES
from vip5core.metrics.table import metric
from vip5platform.evidence import Cell, Evidence, Group
from vip5platform.report.blocks import Block, Bullets, Column, Entry, Grid, Line, Text
from vip5platform.report.names import count, dataset_name, level, number, title, unit
from vip5platform.report.paper_sizes import published_share, published_tuning

_SOURCES = ("amazon-2014", "vip5-release")
#: The paper's BLEU is of characters, so that ours beside it is that one, too.
_METRICS = (
    *(f"test/sequential/{name}" for name in ("hit_rate_at_5", "ndcg_at_5", "hit_rate_at_10", "ndcg_at_10")),
    *(
        f"test/direct/{name}"
        for name in ("hit_rate_at_1", "hit_rate_at_5", "ndcg_at_5", "hit_rate_at_10", "ndcg_at_10")
    ),
    *(f"test/explanation/{name}" for name in ("bleu_4_characters", "rouge_1", "rouge_2", "rouge_l")),
)
#: Cells that are shown beside the paper; the best, where there are more.
_SHOWN = 8


@dataclass(frozen=True)
class Published:
    """One test set of the paper.

    Attributes:
        name: as the paper writes it.
        users, items: how many.
        vip5: in the order of `_METRICS`.
        others: likewise, sequential figures of its baselines.
    """

    name: str
    users: int
    items: int
    vip5: tuple[float, ...]
    others: dict[str, tuple[float, ...]]


PUBLISHED = {
    "toys": Published(
        *("Toys", 19_412, 11_924),
        (0.0662, 0.0577, 0.0749, 0.0604, 0.0433, 0.1301, 0.0875, 0.2037, 0.1110, 3.9293, 28.9225, 9.5441, 23.3148),
        {
            "SASRec": (0.0463, 0.0306, 0.0675, 0.0374),
            "S3-Rec": (0.0443, 0.0294, 0.0700, 0.0376),
            "P5": (0.0655, 0.0570, 0.0726, 0.0593),
        },
    ),
    "beauty": Published(
        *("Beauty", 22_363, 12_101),
        (0.0556, 0.0427, 0.0677, 0.0467, 0.0615, 0.1655, 0.1147, 0.2407, 0.1388, 2.8390, 26.0513, 6.0159, 20.4387),
        {
            "SASRec": (0.0387, 0.0249, 0.0605, 0.0318),
            "S3-Rec": (0.0387, 0.0244, 0.0647, 0.0327),
            "P5": (0.0503, 0.0370, 0.0659, 0.0421),
        },
    ),
    "sports": Published(
        *("Sports", 35_598, 18_357),
        (0.0412, 0.0345, 0.0475, 0.0365, 0.0699, 0.1882, 0.1304, 0.2717, 0.1572, 2.3003, 24.4887, 5.5057, 18.6610),
        {},
    ),
    "clothing": Published(
        *("Clothing", 39_387, 23_033),
        (0.0603, 0.0564, 0.0632, 0.0573, 0.0552, 0.1544, 0.1058, 0.2291, 0.1297, 3.2581, 28.9059, 8.5168, 22.8807),
        {},
    ),
}

#: What the paper's trials were, setting by setting: where ours differ, figures are not to be compared.
_SETTINGS: dict[str, Any] = {
    "backbone": "t5-small",
    "encoder_weights": "openai",
    "encoder": "ViT-B/32",
    "image_tokens": 2,
    "tuning": "adapter",
    "reduction_factor": 8,
    "epochs": 20,
    "batch_size": 36,
    "learning_rate": 1e-3,
    "dropout": 0.1,
    "samples_per_user": (5, 5, 5, 5),
    "train_candidates": 100,
    "loss": "published",
    "feature_scaling": "raw",
    "adapter_start": "published",
    "history_window": "published",
    "adam_epsilon": 1e-6,
    "protocol": "published",
    "exclude_history": False,
    "sequential_template": "A-3",
    "direct_template": "B-8",
    "explanation_template": "C-12",
    "max_source_tokens": 1024,
}


def published(dataset: Dataset | None) -> Published | None:
    """The paper's figures of a dataset; None if it has none."""
    if dataset is None or dataset.manifest.source.get("name") not in _SOURCES:
        return None
    category = dataset.manifest.source.get("category", "").lower()
    return next((PUBLISHED[key] for key, file in CATEGORIES.items() if category in (key, file.lower())), None)


def blocks(evidence: Evidence) -> list[Block]:
    found: list[Block] = []
    without = []
    for group in evidence.groups:
        theirs, finished = published(group.dataset), [cell for cell in group.cells if cell.results]
        if not finished:
            continue
        if theirs is None:
            without.append(dataset_name(group))
            continue
        assert group.dataset is not None
        found += [_grid(theirs, finished, group, evidence), Text("Not comparable as they stand, for:", "note")]
        found.append(Bullets(differences(theirs, group.dataset, finished)))
    if without:
        found.append(Text(f"The paper has no figures for {' and '.join(without)}."))
    return [*found, *_sizes(evidence)]


def _grid(theirs: Published, finished: list[Cell], group: Group, evidence: Evidence) -> Grid:
    names = [name for name in _METRICS if any(cell.values(name) for cell in finished)]
    cells, notes = finished, []
    if len(cells) > _SHOWN:
        best = {group.best(name) for name in evidence.metrics}
        cells = [cell for cell in finished if cell in best][:_SHOWN]
        notes = [f"Of {count(len(finished), 'level')}, those that are best on a metric of the study."]
    figures = dict(zip(_METRICS, theirs.vip5, strict=True))
    lines = [Line("VIP5 (paper)", [Entry(number(figures[name], metric(name))) for name in names], "aside")]
    for other, values in theirs.others.items():
        known = dict(zip(_METRICS, values, strict=False))
        lines.append(Line(f"{other} (paper)", [Entry(number(known.get(n), metric(n))) for n in names], "aside"))
    for cell in cells:
        lines.append(Line(level(cell, evidence), [Entry(number(cell.mean(name), metric(name))) for name in names]))
    heads = [Column(f"{metric(name).label}{unit(metric(name))}", name.split("/")[1]) for name in names]
    return Grid(f"Amazon {theirs.name}", heads, lines, notes)


def differences(theirs: Published, dataset: Dataset, cells: list[Cell]) -> list[tuple[str, str]]:
    """What is not as in the paper: a lead, and by how much."""
    configs = [next(iter(cell.results.values())).config for cell in cells]
    first, manifest = configs[0], dataset.manifest
    found = []
    if (dataset.n_users, dataset.n_items) != (theirs.users, theirs.items):
        ours = f"{dataset.n_users:,} users and {dataset.n_items:,} items"
        found.append(("Data", f"{ours} (paper: {theirs.users:,} and {theirs.items:,})."))
    if manifest.id_scheme != "published":
        found.append(
            (
                "Item ids",
                f"{manifest.id_scheme} (paper: numbered along histories with the test items, which leaks them).",
            )
        )
    settings = [_said(key, value, configs) for key, value in _SETTINGS.items()]
    found.append(("Settings", f"{', '.join(text for text in settings if text)}."))
    if first.exclude_history:
        found.append(("History", "what a user had already is excluded from the ranking (paper: ranked, too)."))
    if first.test_users is not None:
        found.append(("Test", f"a sample of {first.test_users:,} users (paper: all)."))
    if "direct" in first.tasks:
        found.append(
            (
                "Candidates",
                f"{manifest.candidates} for each user, drawn once (paper's code: 100, drawn at each access).",
            )
        )
    if "explanation" in first.tasks:
        found.append(
            ("BLEU", f"of characters here, as in the paper's code; {title('test/explanation/bleu_4')} is of words.")
        )
    found.append(("Trainings", "the paper's figures are of one training, without an interval."))
    return found


def _said(key: str, value: Any, configs: list[TrialConfig]) -> str:
    ours = list(dict.fromkeys(str(getattr(config, key)) for config in configs))
    return "" if ours == [str(value)] else f"{key} {' / '.join(ours)} (paper: {value})"


def _sizes(evidence: Evidence) -> list[Block]:
    """The paper's parameter shares, for studies of what is trained on T5-small."""
    lines, share = [], "model/trainable_percent"
    varied = {"reduction_factor", "image_tokens", "tuning", "adapter_positions", "encoder"}
    for cell in {cell.name: cell for cell in evidence.cells if cell.results}.values():
        config = next(iter(cell.results.values())).config
        theirs = published_share(config)
        if theirs is not None and varied & set(evidence.record.factors) and cell.values(share):
            lines.append(Line(cell.name, [Entry(f"{cell.mean(share):.2f}"), Entry(f"{theirs:.2f}")]))
    if not lines:
        return []
    notes = [published_tuning()] if {"tuning", "adapter_positions"} & set(evidence.record.factors) else []
    return [
        Text("Share of parameters that are trained, on T5-small:"),
        Grid(" × ".join(evidence.record.factors), [Column("ours (%)"), Column("official code (%)")], lines, notes),
    ]
