"""The results of the paper next to those of a study, and why they are not directly comparable."""

from __future__ import annotations

from typing import Any

from vip5core.config import TrialConfig, as_text
from vip5core.data.dataset import Dataset
from vip5core.metrics import metric
from vip5core.presets import PAPER
from vip5core.vocabulary import PAPER as PAPER_CHOICE
from vip5core.vocabulary import PROVIDED
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.report.blocks import Block, Bullets, Cell, Column, Row, Table, Text
from vip5platform.report.formatting import dataset_name, format_value, level_name, pluralize, unit_suffix
from vip5platform.report.sections.paper_figures import METRICS, PaperFigures, paper_figures
from vip5platform.report.sections.paper_sizes import paper_share, paper_tuning_costs

#: How many cells are shown next to the paper; the best ones if there are more.
_SHOWN = 8


def blocks(study: StudyResults) -> list[Block]:
    """The paper's results on each dataset that it covers, and its shares of trainable parameters."""
    found: list[Block] = []
    without = []
    for group in study.groups:
        theirs, finished = paper_figures(group.dataset), [cell for cell in group.cells if cell.results]
        if not finished:
            continue
        if theirs is None:
            without.append(dataset_name(group))
            continue
        assert group.dataset is not None
        found += [_table(theirs, finished, group, study), Text("These results are not directly comparable:", "note")]
        found.append(Bullets(differences(theirs, group.dataset, finished)))
    if without:
        found.append(Text(f"The paper reports no results for {' and '.join(without)}."))
    return [*found, *_sizes(study)]


def _table(theirs: PaperFigures, finished: list[CellResults], group: DatasetResults, study: StudyResults) -> Table:
    names = [name for name in METRICS if any(cell.values(name) for cell in finished)]
    cells, notes = finished, []
    if len(cells) > _SHOWN:
        best = {group.best(name) for name in study.metrics}
        cells = [cell for cell in finished if cell in best][:_SHOWN]
        notes = [
            f"Of {pluralize(len(finished), 'level')}, only those that are best on a metric of the study are shown."
        ]
    figures = dict(zip(METRICS, theirs.vip5, strict=True))
    rows = [Row("VIP5 (paper)", [Cell(format_value(figures[name], metric(name))) for name in names], "aside")]
    for other, values in theirs.others.items():
        known = dict(zip(METRICS, values, strict=False))
        rows.append(Row(f"{other} (paper)", [Cell(format_value(known.get(n), metric(n))) for n in names], "aside"))
    for cell in cells:
        rows.append(Row(level_name(cell, study), [Cell(format_value(cell.mean(name), metric(name))) for name in names]))
    heads = [Column(f"{metric(name).label}{unit_suffix(metric(name))}", name.split("/")[1]) for name in names]
    return Table(f"Amazon {theirs.name}", heads, rows, notes)


def differences(theirs: PaperFigures, dataset: Dataset, cells: list[CellResults]) -> list[tuple[str, str]]:
    """What differs from the paper: a keyword and a description."""
    configs = [next(iter(cell.results.values())).config for cell in cells]
    first, manifest = configs[0], dataset.manifest
    found = []
    if (dataset.n_users, dataset.n_items) != (theirs.users, theirs.items):
        ours = f"{dataset.n_users:,} users and {dataset.n_items:,} items"
        found.append(("Data", f"{ours} (paper: {theirs.users:,} and {theirs.items:,})."))
    if manifest.id_scheme != PROVIDED:
        found.append(
            (
                "Item ids",
                f"{manifest.id_scheme} (paper: numbered along histories with the test items, which leaks them).",
            )
        )
    settings = [text for key, value in PAPER.items() if (text := _difference(key, value, configs))]
    if settings:
        found.append(("Settings", f"{', '.join(settings)}."))
    if first.test_users is not None:
        found.append(("Test", f"a sample of {first.test_users:,} users (paper: all)."))
    if "direct" in first.tasks:
        found.append(
            (
                "Candidates",
                f"{manifest.candidates} per user, drawn once (official code: 100, drawn anew at each access).",
            )
        )
    if "explanation" in first.tasks:
        found.append(
            (
                "BLEU",
                f"on characters here, as in the official code; {metric('test/explanation/bleu_4').title} is on words.",
            )
        )
    found.append(("Runs", "the paper reports a single training run, without an interval."))
    return found


def _difference(key: str, value: Any, configs: list[TrialConfig]) -> str:
    ours, theirs = list(dict.fromkeys(as_text(getattr(config, key)) for config in configs)), as_text(value)
    if ours == [theirs]:
        return ""
    return f"{key} {' / '.join(ours)} ({'not the paper’s' if theirs == PAPER_CHOICE else f'paper: {theirs}'})"


def _sizes(study: StudyResults) -> list[Block]:
    """The shares of trainable parameters in the official code, for studies on T5-small that vary them."""
    rows, share = [], "model/trainable_percent"
    varied = {"reduction_factor", "image_tokens", "tuning", "adapter_positions", "encoder"}
    for cell in {cell.name: cell for cell in study.cells if cell.results}.values():
        config = next(iter(cell.results.values())).config
        theirs = paper_share(config)
        if theirs is not None and varied & set(study.record.factors) and cell.values(share):
            rows.append(Row(cell.name, [Cell(f"{cell.mean(share):.2f}"), Cell(f"{theirs:.2f}")]))
    if not rows:
        return []
    notes = [paper_tuning_costs()] if {"tuning", "adapter_positions"} & set(study.record.factors) else []
    return [
        Text("Share of trainable parameters on T5-small:"),
        Table(" × ".join(study.record.factors), [Column("this study (%)"), Column("official code (%)")], rows, notes),
    ]
