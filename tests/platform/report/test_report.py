from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from support.trials import small
from vip5platform.analysis.baselines import Baseline
from vip5platform.analysis.record import RecordedTrial, StudyRecord
from vip5platform.analysis.results import CellResults, DatasetResults, StudyResults
from vip5platform.analysis.significance import Comparison
from vip5platform.declarations import Range, Search
from vip5platform.report import note, show, summary, write_report
from vip5platform.report.sections import answer
from vip5platform.report.sections import level_table as level_table
from vip5platform.report.sections.level_table import columns
from vip5platform.report.sections.paper_figures import published
from vip5platform.report.sections.paper_sizes import published_share
from vip5platform.search.space import Space
from vip5platform.search.storage import open_search

from vip5core.data.dataset import Dataset
from vip5core.trial.result import TrialResult

NDCG, TEXT = "test/sequential/ndcg_at_10", "test/explanation/sentence_bleu_4"
SECONDS, SIZE = "cost/train_seconds", "model/trainable_parameters"
VALID = "valid/sequential/ndcg_at_10"
FILES = ["report.html", "report.md", "trials.csv", "comparisons.csv", "plot.png"]
NAME = re.compile(r"\W")


def rows(shift: float) -> pd.DataFrame:
    """Answers of twenty users and ten texts; a higher shift ranks more targets first."""
    users = np.arange(1, 21)
    ranks = np.where(users <= 20 * shift, 1, 0)
    ranking = pd.DataFrame({"task": "sequential", "split": "test", "user": users, "item": users, "rank": ranks})
    texts = pd.DataFrame({"task": "explanation", "split": "test", "user": users[:10], "item": users[:10]})
    texts["reference"], texts["sentence_bleu_4"] = "text", 100 * shift
    return pd.concat([ranking, texts], ignore_index=True)


def trial(home: Path, level: str, seed: int, metrics: dict[str, float], group: str = "", **config) -> TrialResult:
    """A finished trial's folder, without training one."""
    folder = home / "trials" / NAME.sub("-", f"{group}{level}-{seed}")
    folder.mkdir(parents=True)
    record = {
        "dataset": {"name": "toy", "fingerprint": "df"},
        "backbone": {"name": "tiny", "fingerprint": "bf"},
        "features": None,
        "workers": 2,
        "device": "cpu",
        "versions": {"torch": "2.15"},
    }
    data = {"config": small(seed=seed, **config).model_dump(mode="json"), "history": [], "record": record}
    (folder / "result.json").write_text(json.dumps({**data, "metrics": {"cost/seconds": 900.0, **metrics}}))
    rows(metrics.get(NDCG, 0.0)).to_parquet(folder / "per_user.parquet")
    return TrialResult.load(folder)


def cell(home: Path, levels: dict[str, str], seeds: list[dict[str, float]], failures=None, dataset=None, **config):
    name = ", ".join(levels.values())
    results = {seed: trial(home, name, seed, metrics, **config) for seed, metrics in enumerate(seeds)}
    return CellResults(name, levels, results, failures or {}, dataset)


def compared(first: str, second: str, difference: float, p: float, *, metric=NDCG, half=0.01, seeds=3) -> Comparison:
    low, high = difference - half, difference + half
    means = (0.3 + difference, 0.3)
    return Comparison(first, second, metric, *means, difference, low, high, p, 0.2, seeds, 20, p_adjusted=p)


def study(groups: list[DatasetResults], *, kind="study", metrics=(NDCG,), factors=("encoder",)) -> StudyResults:
    trials = []
    for group in groups:
        for one in group.cells:
            for seed in sorted({*one.results, *one.failures}):
                done = one.results.get(seed)
                known = {"fingerprint": done.folder.name} if done else {"failure": one.failures[seed]}
                trials.append(RecordedTrial(cell=dict(one.levels), seed=seed, group=group.name, **known))
    record = StudyRecord(
        kind=kind,
        name="encoders",
        question="Which encoder?",
        key="k1",
        factors=list(factors),
        metrics=list(metrics),
        settings={"backbone": "tiny"},
        trials=trials,
        baselines=["popularity"],
        command="python sweeps/encoder_ablation.py --seeds 3",
        commit="c0ffee",
        dirty=True,
        workers=1,
        gpus=0.0,
        cpus=2.0,
        seconds={"trials": 100.0},
    )
    return StudyResults(
        record, groups, [name for name in metrics if any(c.values(name) for g in groups for c in g.cells)]
    )


def three(home: Path, tests: list[Comparison], *, seeds: int = 3, sizes=(800.0, 400.0, 100.0), **more) -> StudyResults:
    """Levels a, b and c, the best first, with planted tests."""
    cells = [
        cell(home, {"encoder": level}, [{NDCG: mean, SIZE: size, SECONDS: 60.0}] * seeds)
        for level, mean, size in zip("abc", (0.40, 0.35, 0.30), sizes, strict=True)
    ]
    baselines = [Baseline("popularity", {NDCG: 0.2}, rows(0.2))]
    return study([DatasetResults("toy", None, cells, baselines, tests)], **more)


CLEAR = [compared("a", "b", 0.05, 0.004), compared("a", "c", 0.10, 0.001), compared("b", "c", 0.05, 0.004)]
TIE = [
    compared("a", "b", 0.05, 0.3, half=0.06),
    compared("a", "c", 0.1, 0.2, half=0.12),
    compared("c", "b", -0.05, 1.0),
]
CHEAP = [compared("a", "b", 0.05, 0.2, half=0.05), compared("c", "a", -0.10, 0.001), compared("b", "c", 0.05, 0.03)]


def written(results: StudyResults, home: Path) -> dict[str, str]:
    files = write_report(results, home)
    assert [file.name for file in files] == FILES
    assert {file.name for file in files[0].parent.iterdir()} == set(FILES)  # nothing half-written
    return {file.name: file.read_text("utf-8") for file in files if file.suffix != ".png"}


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        known = dict(attrs)
        self.ids += [known["id"]] if "id" in known else []
        links = [known.get(key) or "" for key in ("src", "href", "xlink:href", "data", "srcset")]
        self.fetched += [link for link in links if link and not link.startswith("#")]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_clear_winner_is_named_with_its_margin_interval_and_p(tmp_path):
    text = answer(three(tmp_path, CLEAR))
    assert "a (0.4000) is best: it beats b by 0.0500 ([0.0400, 0.0600], p = 0.004) and 1 other level by more" in text
    assert "3 seeds, 20 users, p adjusted for 3 comparisons" in text
    assert "cheapest" not in text
    assert "told" not in text


def test_a_tie_says_how_large_a_difference_could_hide_and_never_equal(tmp_path):
    text = answer(three(tmp_path, TIE))
    assert "no two levels can be told apart, though a difference of up to 0.2200 could hide" in text
    assert "is best" not in text
    assert "equal" not in text


def test_a_cheaper_level_that_cannot_be_told_from_the_best_is_named_with_what_it_may_lose(tmp_path):
    text = answer(three(tmp_path, CHEAP)).replace("\u00a0", " ")
    assert "a (0.4000) is highest: it beats c by 0.1000 ([0.0900, 0.1100], p = 0.001) but cannot be told from b" in text
    assert "is b, with 50 % of the trainable parameters of a, though it may be up to 25 % worse" in text


@pytest.mark.parametrize(
    ("half", "said"),
    [(0.02, "the cheapest that no metric can tell from its best is b"), (0.5, "a cheaper level would do is open")],
)
def test_a_level_that_may_be_far_worse_is_not_offered_as_cheap(tmp_path, half, said):
    tests = [compared("a", "b", 0.05, 0.3, half=half), compared("a", "c", 0.1, 0.3, half=0.3), compared("b", "c", 0, 1)]
    assert said in answer(three(tmp_path, tests))


def test_a_level_that_lacks_a_metrics_best_is_not_the_cheapest(tmp_path):
    one = three(tmp_path, CHEAP)
    other = [replace(test, metric=TEXT, difference=-test.difference) for test in CLEAR]
    for done in one.results().values():
        done.metrics[TEXT] = 100 * (1 - done.metrics[NDCG])
    group = replace(one.groups[0], comparisons=[*CHEAP, *other])
    text = answer(replace(one, groups=[group], metrics=[NDCG, TEXT]))
    assert "c (70.00) is best" in text
    assert "cheapest" not in text


def test_with_one_seed_no_level_is_declared_better(tmp_path):
    one = three(tmp_path, [replace(test, seeds=1) for test in CLEAR], seeds=1)
    text = answer(one)
    assert text.startswith("One seed, so how far trainings differ by themselves is unknown")
    assert "--seeds 3" in text
    assert "sequential NDCG@10 is highest with a (0.4000" in text
    assert not re.search("beats|is best", text)
    assert "no two are declared different" in written(one, tmp_path)["report.md"]


def test_a_level_that_has_one_seed_only_is_not_told_apart(tmp_path):
    text = answer(three(tmp_path, [CLEAR[0], replace(CLEAR[1], seeds=1), CLEAR[2]]))
    assert "it beats b by 0.0500 ([0.0400, 0.0600], p = 0.004) but cannot be told from c" in text


@pytest.mark.parametrize(("p", "weak"), [(0.01, False), (0.5, True)])
def test_a_best_that_is_not_above_popularity_is_said(tmp_path, p, weak):
    text = answer(three(tmp_path, [*CLEAR, compared("a", "popularity", 0.2, p)]))
    assert ("not above every baseline on sequential NDCG@10" in text) is weak


def test_levels_that_are_all_the_same_are_not_undecided_but_below_popularity(tmp_path):
    cells = [cell(tmp_path, {"encoder": e}, [{NDCG: 0.1}] * 2) for e in "ab"]
    group = DatasetResults(
        "toy", None, cells, [Baseline("popularity", {NDCG: 0.2}, rows(0.2))], [compared("a", "b", 0.0, 1.0)]
    )
    text = answer(study([group]))
    assert text.startswith("Sequential NDCG@10 looks the same with all; the best is not above every baseline on seq")
    assert "could hide" not in text


def test_numbers_as_levels_are_told_what_they_count(tmp_path):
    cells = [cell(tmp_path, {"reduction_factor": n}, [{NDCG: v}] * 2) for n, v in (("2", 0.4), ("32", 0.2))]
    group = DatasetResults("toy", None, cells, [], [compared("2", "32", 0.2, 0.01)])
    text = answer(study([group], factors=("reduction_factor",)))
    assert text.startswith("On sequential NDCG@10 reduction_factor 2 (0.4000) is best: it beats 32 by")


def test_nothing_finished_says_so_with_a_reason_and_is_reported(tmp_path):
    failed = CellResults("a", {"encoder": "a"}, {}, {0: "OutOfMemoryError: no room"}, None)
    results = study([DatasetResults("toy", None, [failed], [])])
    assert answer(results) == "No trial has finished, so there is no answer (OutOfMemoryError: no room)."
    files = written(results, tmp_path)
    assert "OutOfMemoryError: no room" in files["report.html"]
    assert summary(results) == {"study/trials": 1, "study/failures": 1, "study/hours": 0}


def entries(results: StudyResults) -> dict[tuple[str, str], tuple[str, bool, str]]:
    grid = level_table.grid(results)
    return {
        (line.head, column.head): (entry.text, entry.best, entry.mark)
        for line in grid.lines
        for column, entry in zip(grid.columns, line.entries, strict=bool(line.entries))
    }


def test_the_best_is_bold_by_each_metrics_own_direction(tmp_path):
    cells = [
        cell(tmp_path, {"encoder": "a"}, [{NDCG: 0.3, SECONDS: 9.0}]),
        cell(tmp_path, {"encoder": "b"}, [{NDCG: 0.2, SECONDS: 5.0}]),
    ]
    found = entries(study([DatasetResults("toy", None, cells, [Baseline("popularity", {NDCG: 0.9}, rows(0.9))])]))
    assert found["a", "NDCG@10"][1]
    assert not found["b", "NDCG@10"][1]
    assert found["b", "train (s)"] == ("5.0", True, "")
    assert found["popularity", "NDCG@10"] == ("0.9000", False, "")
    assert found["popularity", "train (s)"][0] == "–"


def test_what_was_asked_stands_first_in_the_table(tmp_path):
    values = {NDCG: 0.4, "probe/neighbours": 70.0, "probe/neighbours_chance": 6.0, SECONDS: 9.0}
    cells = [cell(tmp_path, {"encoder": level}, [values]) for level in "ab"]
    heads = list(columns(study([DatasetResults("toy", None, cells, [])], metrics=("probe/neighbours",))))
    assert heads[0] == "probe"
    assert heads[1:] == ["sequential", "cost"]


def test_levels_that_look_alike_are_not_ranked(tmp_path):
    cells = [cell(tmp_path, {"encoder": e}, [{NDCG: v}]) for e, v in (("a", 0.20001), ("b", 0.20002))]
    assert not any(best for _, best, _ in entries(study([DatasetResults("toy", None, cells, [])])).values())


def test_what_cannot_be_told_from_the_best_is_marked_as_the_comparisons_say(tmp_path):
    found = entries(three(tmp_path, CHEAP))
    assert [found[level, "NDCG@10"][2] for level in "abc"] == ["", "≈", ""]
    assert [found[level, "train (s)"][2] for level in "abc"] == ["", "", ""]


def test_a_mean_over_seeds_has_half_of_its_interval_and_one_seed_of_costs_has_none(tmp_path):
    results = study(
        [DatasetResults("toy", None, [cell(tmp_path, {"encoder": "a"}, [{SECONDS: 10.0}, {SECONDS: 12.0}])], [])]
    )
    assert entries(results)["a", "train (s)"][0] == "11.0 ± 12.7"
    one = study([DatasetResults("toy", None, [cell(tmp_path, {"encoder": "b"}, [{SECONDS: 10.0}])], [])])
    assert entries(one)["b", "train (s)"][0] == "10.0"


def test_holes_stand_in_every_form_with_their_reasons(tmp_path):
    results = three(tmp_path, CLEAR)
    broken = replace(results.cells[1], failures={3: "OutOfMemoryError: no room"})
    lost = CellResults("d", {"encoder": "d"}, {}, {0: "no weights"}, None)
    group = replace(results.groups[0], cells=[results.cells[0], broken, results.cells[2], lost])
    results = study([group])
    files = written(results, tmp_path)
    console = Console(width=150, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    show(results, console)
    for text in (files["report.html"], files["report.md"], console.export_text()):
        assert "b (3 of 4 seeds)" in text
        assert "b, seed 3: OutOfMemoryError: no room" in text
        assert "d (failed)" in text
        assert "d: no weights" in text
    assert summary(results)["study/failures"] == 2


def test_a_narrow_terminal_gets_a_table_for_each_group_of_columns(tmp_path):
    console = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(three(tmp_path, CHEAP), console)
    text = console.export_text()
    assert all(len(line) <= 60 for line in text.splitlines() if "±" in line or "─" in line)
    assert "trainable" in text
    assert "popularity" in text
    assert "cannot be told from b" in text


def test_the_page_is_whole_escapes_what_users_named_and_fetches_nothing(tmp_path):
    evil = "<script>alert(1)</script>"
    cells = [
        cell(tmp_path, {"encoder": e}, [{NDCG: v, SIZE: s}] * 2) for e, v, s in (("a", 0.4, 9.0), (evil, 0.3, 1.0))
    ]
    group = DatasetResults(evil, None, cells, [], [compared("a", evil, 0.1, 0.01)])
    files = written(study([group]), tmp_path)
    page = Page(files["report.html"])
    assert "script" not in page.tags
    assert page.open == []
    assert page.fetched == []
    assert "@import" not in files["report.html"]
    assert len(page.ids) == len(set(page.ids))
    assert {"answer", "table", "plots", "pairs", "paper", "cost", "reproduce"} <= set(page.ids)
    assert page.tags.count("svg") >= 2
    assert "&lt;script&gt;" in files["report.html"]
    assert "<script>" not in files["report.md"]
    assert "python sweeps/encoder_ablation.py --seeds 3" in files["report.html"]
    assert "with changes that were not committed" in files["report.html"]


def test_markdown_tables_have_as_many_columns_in_every_row(tmp_path):
    cells = [cell(tmp_path, {"encoder": e}, [{NDCG: v}] * 2) for e, v in (("a|b", 0.4), ("c", 0.3))]
    text = written(study([DatasetResults("x", None, cells, [], [compared("a|b", "c", 0.1, 0.01)])]), tmp_path)[
        "report.md"
    ]
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 3
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "![Which encoder?](plot.png)" in text


def test_the_note_fits_into_mlflow_whatever_the_size_of_the_study(tmp_path):
    results = three(tmp_path, CLEAR)
    many = [compared("a", f"{'long' * 20}{n}", 0.1, 0.5) for n in range(80)]
    cells = [*results.cells, *(CellResults(test.second, {}, {}, {0: "gone"}, None) for test in many)]
    text = note(study([replace(results.groups[0], cells=cells, comparisons=[*CLEAR, *many])]))
    assert len(text) <= 8000
    assert text.startswith("# Which encoder?\n\n**On sequential NDCG@10 a (0.4000)")


def test_tables_for_other_programs_come_back_as_they_were(tmp_path):
    written(three(tmp_path, CHEAP), tmp_path)
    folder = tmp_path / "reports" / "encoders-k1"
    trials = pd.read_csv(folder / "trials.csv")
    assert trials["encoder"].tolist() == list("aaabbbccc")
    assert trials["seed"].tolist() == [0, 1, 2] * 3
    assert trials[NDCG].tolist() == [0.4] * 3 + [0.35] * 3 + [0.3] * 3
    with (folder / "comparisons.csv").open() as file:
        tests = list(csv.DictReader(file))
    assert [(t["first"], t["second"], t["told_apart"]) for t in tests] == [
        ("a", "b", "False"),
        ("c", "a", "True"),
        ("b", "c", "True"),
    ]
    assert float(tests[1]["p_adjusted"]) == 0.001


def test_the_hours_count_workers_and_cpus(tmp_path):
    assert summary(three(tmp_path, CLEAR))["study/hours"] == pytest.approx(9 * 900 * 2 * 2 / 3600)
    assert summary(three(tmp_path / "x", CLEAR))[NDCG] == pytest.approx(0.4)


@pytest.mark.parametrize("metrics", [{NDCG: 0.3, SECONDS: 9.0}, {NDCG: 0.3}, {}])
def test_the_plot_is_a_picture_whatever_is_missing(tmp_path, metrics):
    written(study([DatasetResults("toy", None, [cell(tmp_path, {"encoder": "$a$"}, [metrics])], [])]), tmp_path)
    with Image.open(tmp_path / "reports" / "encoders-k1" / "plot.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 100


def test_several_datasets_stand_side_by_side_and_their_orders_are_compared(tmp_path):
    groups = []
    for name, means in (("toys", (0.4, 0.3, 0.2)), ("data/beauty", (0.2, 0.3, 0.4))):
        cells = [
            cell(tmp_path, {"dataset": name, "encoder": level}, [{NDCG: mean}] * 2)
            for level, mean in zip("abc", means, strict=True)
        ]
        groups.append(
            DatasetResults(name, None, cells, [], [compared(cells[0].name, cells[2].name, means[0] - means[2], 0.01)])
        )
    results = study(groups, factors=("dataset", "encoder"))
    said = answer(results)
    assert "toys: on sequential NDCG@10 a (0.4000) is highest: it beats c" in said
    assert "beauty: on sequential NDCG@10 c (0.4000) is highest: it beats a" in said
    page = written(results, tmp_path)["report.html"]
    assert "toys and beauty: Kendall&#39;s tau −1.00 (p = 0.33)" in page
    assert summary(results).keys() >= {f"{NDCG}/toys", f"{NDCG}/data-beauty"}
    assert [line.head for line in level_table.grid(results).lines] == ["toys", *"abc", "beauty", *"abc"]


def test_a_search_shows_its_best_by_validation_its_front_and_what_ended_early(tmp_path):
    planted = (
        ("0.1", 0.10, 100.0, 0.9),
        ("0.01", 0.30, 900.0, 0.2),
        ("0.001", 0.20, 500.0, 0.3),
        ("0.5", 0.1, 600.0, 0.4),
    )
    cells = [
        cell(tmp_path, {"learning_rate": rate}, [{VALID: valid, SIZE: size, NDCG: test}])
        for rate, valid, size, test in planted
    ]
    cells.append(CellResults("0.9", {"learning_rate": "0.9"}, {}, {0: "ended early"}, None))
    group = DatasetResults("toy", None, cells, [])
    results = study([group], kind="search", metrics=(VALID, SIZE), factors=("learning_rate",))
    said = answer(results)
    assert "Of 5 trials, 1 of which did not run to the end, the best has validation sequential NDCG@10 0.3000" in said
    assert "with learning_rate 0.01; 3 trials cannot be bettered" in said
    assert "on the test set it has sequential NDCG@10 0.2000" in said
    files = written(results, tmp_path)
    assert [line[:6] for line in files["report.md"].splitlines() if "◆ |" in line] == ["| 2 ◆ ", "| 3 ◆ ", "| 1 ◆ "]
    assert "Chosen on validation alone" in files["report.html"]
    assert Page(files["report.html"]).tags.count("svg") == 4  # two histories, the front, one setting
    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(results, console)
    assert "warning" not in console.export_text()


def test_a_stored_search_adds_what_was_proposed_and_what_matters(tmp_path):
    search = Search("encoders", "How good?", {"learning_rate": Range(0.001, 0.1, log=True)}, (VALID,))
    stored, lock = open_search(search, tmp_path, "k1")
    for number in range(10):
        stored.add_trial(
            optuna.trial.create_trial(
                params={"learning_rate": 0.001 * (number + 1)},
                distributions=Space(search.space).distributions,
                value=0.1 * number,
                user_attrs={"fingerprint": f"f{number}"},
            )
        )
    lock.close()
    cells = [cell(tmp_path, {"learning_rate": rate}, [{VALID: float(rate)}]) for rate in ("0.01", "0.02")]
    results = study(
        [DatasetResults("toy", None, cells, [])], kind="search", metrics=(VALID,), factors=("learning_rate",)
    )
    text = written(results, tmp_path)["report.html"]
    assert "Proposals: 10 complete." in text
    assert "What moves validation sequential NDCG@10: learning_rate 100 %" in text


def test_two_factors_are_drawn_as_lines_of_one_along_the_other(tmp_path):
    cells = [
        cell(tmp_path, {"encoder": e, "image_tokens": n}, [{NDCG: v}])
        for e, n, v in (("a", "1", 0.1), ("a", "2", 0.2), ("b", "1", 0.3), ("b", "2", 0.25))
    ]
    results = study([DatasetResults("toy", None, cells, [])], factors=("encoder", "image_tokens"))
    text = written(results, tmp_path)["report.html"]
    assert "sequential NDCG@10 by image_tokens, a line for each encoder" in text
    assert "sequential NDCG@10 is highest with b · 1 (0.3000" in text


def beauty(shop: Dataset, **manifest) -> Dataset:
    source = {"name": "amazon-2014", "category": "Beauty"}
    return replace(shop, manifest=shop.manifest.model_copy(update={"source": source, **manifest}))


def test_the_papers_figures_stand_beside_ours_with_what_keeps_them_apart(tmp_path, shop):
    dataset = beauty(shop)
    metrics = {NDCG: 0.03, "test/explanation/bleu_4_characters": 12.0}
    cells = [cell(tmp_path, {"encoder": e}, [metrics], dataset=dataset) for e in "ab"]
    text = written(study([DatasetResults("beauty", dataset, cells, [])]), tmp_path)["report.md"]
    assert "| *VIP5 (paper)* | 0.0467 | 2.84 |" in text
    assert "| *SASRec (paper)* | 0.0318 | – |" in text
    for difference in (
        "backbone tiny (paper: t5-small)",
        "image_tokens 0 (paper: 2)",
        "epochs 2 (paper: 20)",
        "random (paper: numbered along histories",
        "direct_template B-5 (paper: B-8)",
        "a sample of 10 users",
        "excluded from the ranking",
        "of characters here",
        "40 users and",
    ):
        assert difference in text


def test_other_datasets_have_no_figures_in_the_paper(tmp_path, shop):
    assert published(shop) is None
    assert published(beauty(shop)) is not None
    results = study(
        [DatasetResults("minimart", shop, [cell(tmp_path, {"encoder": "a"}, [{NDCG: 0.1}], dataset=shop)], [])]
    )
    assert "The paper has no figures for minimart." in written(results, tmp_path)["report.md"]


@pytest.mark.parametrize(
    ("settings", "percent"),
    [
        ({"image_tokens": 1, "reduction_factor": 8, "encoder": "RN101"}, 3.58),
        ({"image_tokens": 2, "reduction_factor": 2}, 12.47),
        ({"image_tokens": 5, "reduction_factor": 32}, 6.82),
        ({"image_tokens": 2, "encoder": "ViT-L/14"}, 4.57),
        ({"image_tokens": 1, "encoder": "RN101", "adapter_positions": ("self", "feed_forward")}, 2.97),
        ({"tuning": "full"}, 100.0),
    ],
)
def test_the_official_codes_share_of_trained_parameters(settings, percent):
    assert published_share(small(backbone="t5-small", **settings)) == pytest.approx(percent, abs=0.005)
