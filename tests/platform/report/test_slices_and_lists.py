"""The tables of slices and of what is recommended, in every format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from support.studies import study_record
from support.trials import small
from vip5platform.analysis.baselines import Baseline
from vip5platform.analysis.record import RecordedTrial
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.report.blocks import Table, Text
from vip5platform.report.document import document
from vip5platform.report.files import trial_rows
from vip5platform.report.render import html, markdown
from vip5platform.report.render.terminal import show
from vip5platform.report.sections import beyond, slices

from vip5core.evaluation.results import summarise
from vip5core.home import Home
from vip5core.trial.result import Content, TrialRecord, TrialResult

NDCG = "test/sequential/ndcg_at_10"
USERS = 80
SIMILARITY = {"test/sequential/image_similarity_at_10": 0.25}
VALUES = {"coverage_at_10": 0.5, "popularity_at_10": 12.3, "novelty_at_10": 7.0}


def answers(hit: list[str], recorded: bool = True) -> pd.DataFrame:
    """Answers of 80 users: 40 ask for tail items, 39 for head items and one for a cold one; `hit` slices get them."""
    target = np.array(["tail"] * 40 + ["head"] * 39 + ["cold"])
    rows = pd.DataFrame({"task": "sequential", "split": "test", "user": range(USERS), "item": range(USERS)})
    rows["rank"] = np.isin(target, hit).astype(int)
    if recorded:
        rows["target_slice"], rows["history_slice"] = target, "short"
        rows = rows.assign(**VALUES)
    return rows


def result(home: Home, name: str, rows: pd.DataFrame, seed: int) -> TrialResult:
    record = TrialRecord(fingerprint=name, code="now", dataset=Content(name="toy", fingerprint="df"))
    made = TrialResult(home.trial(f"{name}-{seed}"), small(seed=seed), summarise(rows, 10), [], record)
    made.save(rows)
    return made


def study(home: Home, levels: dict[str, pd.DataFrame], similarity: dict[str, float] | None = None) -> StudyResults:
    """A study of two seeds with popularity, which hits the head."""
    cells = [
        CellResults(name, {"prompts": name}, {seed: result(home, name, rows, seed) for seed in (0, 1)}, {}, None)
        for name, rows in levels.items()
    ]
    for cell in cells if similarity else []:
        for seed, one in cell.results.items():
            cell.results[seed] = replace(one, metrics={**one.metrics, **similarity})
    popular = answers(["head"])
    group = DatasetResults(
        *("toy", None, cells, [Baseline("popularity", summarise(popular, 10), popular)]),
        similarity_by="RN50" if similarity else "",
    )
    record = study_record(
        name="modality-ablation",
        question="Do the images help?",
        factors=["prompts"],
        metrics=[NDCG],
        trials=[
            RecordedTrial(cell=dict(cell.levels), seed=seed, group="toy", fingerprint=one.folder.name)
            for cell in cells
            for seed, one in cell.results.items()
        ],
        baselines=["popularity"],
    )
    return StudyResults(record, [group], [NDCG])


@pytest.fixture
def planted(tmp_path) -> StudyResults:
    """Images help where history does not: with cold and tail items."""
    levels = {"text-only": answers(["head"]), "multimodal": answers(["cold", "tail"])}
    return study(Home(tmp_path), levels, SIMILARITY)


def texts(table: Table, row: str) -> dict[str, str]:
    (found,) = [one for one in table.rows if one.head == row]
    return {
        column.head: f"{cell.text} {cell.mark}".strip() for column, cell in zip(table.columns, found.cells, strict=True)
    }


def test_slices_show_where_images_help(planted):
    (table,) = slices.blocks(planted)
    assert {column.group for column in table.columns} == {
        "sequential NDCG@10 by target",
        "sequential NDCG@10 by history",
    }
    assert texts(table, "users") == {
        "cold items": "1",
        "tail items": "40",
        "head items": "39",
        "short histories": "80",
        "long histories": "0",
    }
    assert texts(table, "text-only")["tail items"] == "0.0000"
    assert texts(table, "multimodal")["tail items"] == "1.0000"
    assert texts(table, "multimodal")["cold items"] == "1.0000 †"  # one user: no interval, and a warning
    assert texts(table, "multimodal")["long histories"] == "–"
    assert texts(table, "popularity") == {
        "cold items": "0.0000 †",
        "tail items": "0.0000",
        "head items": "1.0000",
        "short histories": "0.4875",
        "long histories": "–",
    }
    assert "±" in texts(table, "multimodal")["short histories"]
    assert any("fewer than 30 users" in note for note in table.notes)


def test_what_is_recommended_is_described_by_the_same_features_for_all_levels(planted):
    (table,) = beyond.blocks(planted)
    assert texts(table, "multimodal") == {
        "coverage@10": "0.500",
        "popularity@10": "12.3 ± 0.0",
        "novelty@10 (bits)": "7.00",
        "similarity@10": "0.250",
    }
    assert texts(table, "popularity")["similarity@10"] == "–"
    assert "by the centred features of RN50 for all levels" in " ".join(table.notes)


def test_both_stand_in_every_format_and_in_the_table_for_other_programs(planted):
    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(planted, console)
    doc = document(planted)
    for text in (console.export_text(), markdown.render(doc), html.render(doc)):
        for word in ("cold items", "long histories", "coverage@10", "similarity@10", "†"):
            assert word in text
    assert trial_rows(planted)["test/sequential/tail/ndcg_at_10"].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_trials_of_older_code_are_readable_and_said_to_lack_them(tmp_path):
    old = study(Home(tmp_path), {"a": answers(["head"], recorded=False)})
    for section in (slices, beyond):
        (block,) = section.blocks(old)
        assert isinstance(block, Text)
        assert block.text.startswith("Not recorded")
    mixed = study(Home(tmp_path / "mixed"), {"a": answers([], recorded=False), "b": answers(["tail"])})
    (table,) = beyond.blocks(mixed)
    assert texts(table, "a (not recorded)")["coverage@10"] == "–"
    (table,) = slices.blocks(mixed)
    assert texts(table, "a (not recorded)")["tail items"] == "–"
    assert texts(table, "b")["tail items"] == "1.0000"


def test_without_ranking_neither_table_is_there(tmp_path):
    rows = pd.DataFrame({"task": "explanation", "split": "test", "user": [1, 2], "item": [1, 2]})
    rows = rows.assign(reference="a b", prediction="a b", sentence_bleu_4=100.0, rouge_l=100.0)
    only = study(Home(tmp_path), {"a": rows})
    assert slices.blocks(only) == []
    assert beyond.blocks(only) == []
