from __future__ import annotations

import csv
import re
from dataclasses import replace
from html.parser import HTMLParser

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
from vip5platform.report.document import document
from vip5platform.report.files import content_of, summary, update_report, write_report
from vip5platform.report.render.markdown import note
from vip5platform.report.render.terminal import show
from vip5platform.report.sections.answer import answer
from vip5platform.report.sections.level_table import columns, level_table
from vip5platform.report.sections.paper_figures import paper_figures
from vip5platform.report.sections.paper_sizes import paper_share
from vip5platform.search.space import Space
from vip5platform.search.storage import open_search

from vip5core.data.dataset import Dataset
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.trial.result import Content, TrialRecord, TrialResult

NDCG, TEXT = "test/sequential/ndcg_at_10", "test/explanation/sentence_bleu_4"
SECONDS, SIZE = "cost/train_seconds", "model/trainable_parameters"
VALID = "valid/sequential/ndcg_at_10"
FILES = ["report.html", "report.md", "answer.txt", "trials.csv", "comparisons.csv", "plot.png"]
NAME = re.compile(r"\W")


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path)


def rows(shift: float) -> pd.DataFrame:
    """Answers of twenty users and ten texts; a higher shift ranks more targets first."""
    users = np.arange(1, 21)
    ranks = np.where(users <= 20 * shift, 1, 0)
    ranking = pd.DataFrame({"task": "sequential", "split": "test", "user": users, "item": users, "rank": ranks})
    texts = pd.DataFrame({"task": "explanation", "split": "test", "user": users[:10], "item": users[:10]})
    texts["reference"], texts["sentence_bleu_4"] = "text", 100 * shift
    return pd.concat([ranking, texts], ignore_index=True)


def trial(home: Home, level: str, seed: int, metrics: dict[str, float], group: str = "", **config) -> TrialResult:
    """A finished trial's folder, without training one."""
    name = NAME.sub("-", f"{group}{level}-{seed}")
    record = TrialRecord(
        fingerprint=name,
        code="now",
        dataset=Content(name="toy", fingerprint="df"),
        backbone=Content(name="tiny", fingerprint="bf"),
        workers=2,
        device="NVIDIA A10G" if level == "a" else "cpu",
        host=f"node-{seed}" if level == "a" else "",
        versions={"torch": "2.15"},
    )
    config = small(seed=seed, **config)
    result = TrialResult(home.trial(name), config, {"cost/seconds": 900.0, **metrics}, [], record)
    result.save(rows(metrics.get(NDCG, 0.0)))
    return TrialResult.load(result.folder)


def failure(message: str, kind: str = "error") -> Failure:
    return Failure(kind=kind, message=message)


def cell(home: Home, levels: dict[str, str], seeds: list[dict[str, float]], failures=None, dataset=None, **config):
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


def three(home: Home, tests: list[Comparison], *, seeds: int = 3, sizes=(800.0, 400.0, 100.0), **more) -> StudyResults:
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


def written(results: StudyResults, home: Home) -> dict[str, str]:
    files = write_report(results, home)
    assert [file.name for file in files] == FILES
    assert {file.name for file in files[0].parent.iterdir()} == set(FILES)  # nothing half-written
    return {file.name: file.read_text("utf-8") for file in files if file.suffix != ".png"}


def test_what_is_not_as_asked_about_candidate_lists_stands_beside_the_dataset(home: Home, shop: Dataset) -> None:
    cells = [cell(home, {"encoder": "a"}, [{NDCG: 0.4}])]
    told = document(study([DatasetResults("toy", shop, cells, [], [])])).about
    assert re.search(r"40 users, \d+ items; 80 of 80 candidate lists are shorter than 100, the shortest has \d+", told)


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


def test_a_clear_winner_is_named_with_its_margin_interval_and_p(home):
    text = answer(three(home, CLEAR))
    assert "a (0.4000) is best: it beats b by 0.0500 ([0.0400, 0.0600], p = 0.004) and 1 other level by more" in text
    assert "3 seeds, 20 users, p adjusted for 3 comparisons" in text
    assert "cheapest" not in text
    assert "distinguishable" not in text


def test_a_tie_says_how_large_a_difference_cannot_be_ruled_out_and_never_equal(home):
    text = answer(three(home, TIE))
    assert "no two levels are distinguishable (differences up to 0.2200 cannot be ruled out)" in text
    assert "is best" not in text
    assert "equal" not in text


def test_a_cheaper_level_not_distinguishable_from_the_best_is_named_with_what_it_may_lose(home):
    text = answer(three(home, CHEAP)).replace("\u00a0", " ")
    beats = "a (0.4000) has the best mean: it beats c by 0.1000 ([0.0900, 0.1100], p = 0.001)"
    assert f"{beats} but is not distinguishable from b" in text
    assert "is b, with 50 % of the trainable parameters of a, though it may be up to 25 % worse" in text


@pytest.mark.parametrize(
    ("half", "said"),
    [
        (0.02, "the cheapest level that is not distinguishable from the best on any metric is b"),
        (0.5, "whether a cheaper level suffices is open"),
    ],
)
def test_a_level_that_may_be_far_worse_is_not_offered_as_cheap(home, half, said):
    tests = [compared("a", "b", 0.05, 0.3, half=half), compared("a", "c", 0.1, 0.3, half=0.3), compared("b", "c", 0, 1)]
    assert said in answer(three(home, tests))


def test_a_level_with_more_parameters_is_not_cheaper_because_its_training_took_less_time(home):
    one = three(home, CHEAP, sizes=(800.0, 1080.0, 1080.0))
    for result in one.groups[0].cells[1].results.values():
        result.metrics[SECONDS] = 30.0
    assert "cheap" not in answer(one)


def test_a_level_that_lacks_a_metrics_best_is_not_the_cheapest(home):
    one = three(home, CHEAP)
    other = [replace(test, metric=TEXT, difference=-test.difference) for test in CLEAR]
    for done in one.trial_results().values():
        done.metrics[TEXT] = 100 * (1 - done.metrics[NDCG])
    group = replace(one.groups[0], comparisons=[*CHEAP, *other])
    text = answer(replace(one, groups=[group], metrics=[NDCG, TEXT]))
    assert "c (70.00) is best" in text
    assert "cheapest" not in text


@pytest.mark.slow
def test_with_one_seed_no_level_is_declared_better(home):
    one = three(home, [replace(test, seeds=1) for test in CLEAR], seeds=1)
    text = answer(one)
    assert text.startswith("With one seed, run-to-run variance is unknown, so no level is declared better")
    assert "--seeds 3" in text
    assert "sequential NDCG@10 is highest for a (0.4000" in text
    assert not re.search("beats|is best", text)
    assert "no two levels are declared different" in written(one, home)["report.md"]


def test_a_level_with_one_seed_is_not_declared_different(home):
    text = answer(three(home, [CLEAR[0], replace(CLEAR[1], seeds=1), CLEAR[2]]))
    assert "it beats b by 0.0500 ([0.0400, 0.0600], p = 0.004) but is not distinguishable from c" in text


@pytest.mark.parametrize(("p", "weak"), [(0.01, False), (0.5, True)])
def test_the_answer_says_if_the_best_level_does_not_beat_popularity(home, p, weak):
    text = answer(three(home, [*CLEAR, compared("a", "popularity", 0.2, p)]))
    assert ("the best level does not beat every baseline on sequential NDCG@10" in text) is weak


def test_levels_that_are_all_the_same_are_not_undecided_but_below_popularity(home):
    cells = [cell(home, {"encoder": e}, [{NDCG: 0.1}] * 2) for e in "ab"]
    group = DatasetResults(
        "toy", None, cells, [Baseline("popularity", {NDCG: 0.2}, rows(0.2))], [compared("a", "b", 0.0, 1.0)]
    )
    text = answer(study([group]))
    assert text.startswith(
        "Sequential NDCG@10 is the same for all levels at the precision shown; "
        "the best level does not beat every baseline on seq"
    )
    assert "ruled out" not in text


def test_numbers_as_levels_are_preceded_by_their_factor(home):
    cells = [cell(home, {"reduction_factor": n}, [{NDCG: v}] * 2) for n, v in (("2", 0.4), ("32", 0.2))]
    group = DatasetResults("toy", None, cells, [], [compared("2", "32", 0.2, 0.01)])
    text = answer(study([group], factors=("reduction_factor",)))
    assert text.startswith("On sequential NDCG@10 reduction_factor 2 (0.4000) is best: it beats 32 by")


def test_a_study_without_results_says_so_with_a_reason(home):
    failed = CellResults("a", {"encoder": "a"}, {}, {0: failure("OutOfMemoryError: no room", "out_of_memory")}, None)
    results = study([DatasetResults("toy", None, [failed], [])])
    assert answer(results) == "No trial has finished, so there is no answer (OutOfMemoryError: no room)."
    files = written(results, home)
    assert "OutOfMemoryError: no room" in files["report.html"]
    assert summary(results) == {"study/trials": 1, "study/failures": 1, "study/hours": 0}


def table_cells(results: StudyResults) -> dict[tuple[str, str], tuple[str, bool, str]]:
    table = level_table(results)
    return {
        (row.head, column.head): (one.text, one.best, one.mark)
        for row in table.rows
        for column, one in zip(table.columns, row.cells, strict=bool(row.cells))
    }


def test_the_best_is_bold_by_each_metrics_own_direction(home):
    cells = [
        cell(home, {"encoder": "a"}, [{NDCG: 0.3, SECONDS: 9.0}]),
        cell(home, {"encoder": "b"}, [{NDCG: 0.2, SECONDS: 5.0}]),
    ]
    found = table_cells(study([DatasetResults("toy", None, cells, [Baseline("popularity", {NDCG: 0.9}, rows(0.9))])]))
    assert found["a", "NDCG@10"][1]
    assert not found["b", "NDCG@10"][1]
    assert found["b", "train (s)"] == ("5.0", True, "")
    assert found["popularity", "NDCG@10"] == ("0.9000", False, "")
    assert found["popularity", "train (s)"][0] == "–"


def test_what_was_asked_stands_first_in_the_table(home):
    values = {NDCG: 0.4, "probe/neighbours": 70.0, "probe/neighbours_chance": 6.0, SECONDS: 9.0}
    cells = [cell(home, {"encoder": level}, [values]) for level in "ab"]
    heads = list(columns(study([DatasetResults("toy", None, cells, [])], metrics=("probe/neighbours",))))
    assert heads[0] == "probe"
    assert heads[1:] == ["sequential", "cost"]


def test_levels_that_look_alike_are_not_ranked(home):
    cells = [cell(home, {"encoder": e}, [{NDCG: v}]) for e, v in (("a", 0.20001), ("b", 0.20002))]
    assert not any(best for _, best, _ in table_cells(study([DatasetResults("toy", None, cells, [])])).values())


def test_levels_not_distinguishable_from_the_best_are_marked(home):
    found = table_cells(three(home, CHEAP))
    assert [found[level, "NDCG@10"][2] for level in "abc"] == ["", "≈", ""]
    assert [found[level, "train (s)"][2] for level in "abc"] == ["", "", ""]


def test_a_mean_over_seeds_has_half_of_its_interval_and_one_seed_of_costs_has_none(home):
    results = study(
        [DatasetResults("toy", None, [cell(home, {"encoder": "a"}, [{SECONDS: 10.0}, {SECONDS: 12.0}])], [])]
    )
    assert table_cells(results)["a", "train (s)"][0] == "11.0 ± 12.7"
    one = study([DatasetResults("toy", None, [cell(home, {"encoder": "b"}, [{SECONDS: 10.0}])], [])])
    assert table_cells(one)["b", "train (s)"][0] == "10.0"


@pytest.mark.slow
def test_missing_trials_are_shown_with_their_reasons_in_every_format(home):
    results = three(home, CLEAR)
    broken = replace(results.cells[1], failures={3: failure("OutOfMemoryError: no room", "out_of_memory")})
    lost = CellResults("d", {"encoder": "d"}, {}, {0: failure("no weights")}, None)
    group = replace(results.groups[0], cells=[results.cells[0], broken, results.cells[2], lost])
    results = study([group])
    files = written(results, home)
    console = Console(width=150, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    show(results, console)
    for text in (files["report.html"], files["report.md"], console.export_text()):
        assert "b (3 of 4 seeds)" in text
        assert "b, seed 3: OutOfMemoryError: no room" in text
        assert "d (failed)" in text
        assert "d: no weights" in text
    assert summary(results)["study/failures"] == 2


def test_a_narrow_terminal_gets_a_table_for_each_group_of_columns(home):
    console = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(three(home, CHEAP), console)
    text = console.export_text()
    assert all(len(line) <= 60 for line in text.splitlines() if "±" in line or "─" in line)
    assert "trainable" in text
    assert "popularity" in text
    assert "not distinguishable from b" in text


@pytest.mark.slow
def test_the_page_is_whole_escapes_what_users_named_and_fetches_nothing(home):
    evil = "<script>alert(1)</script>"
    cells = [cell(home, {"encoder": e}, [{NDCG: v, SIZE: s}] * 2) for e, v, s in (("a", 0.4, 9.0), (evil, 0.3, 1.0))]
    group = DatasetResults(evil, None, cells, [], [compared("a", evil, 0.1, 0.01)])
    files = written(study([group]), home)
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
    assert "with uncommitted changes" in files["report.html"]
    assert f"vip5 show {next(iter(cells[0].results.values())).folder.name[:8]}" in files["report.html"]


@pytest.mark.slow
def test_the_page_says_where_the_trials_ran(home):
    text = written(three(home, CLEAR, seeds=2), home)["report.md"]
    places = "NVIDIA A10G of node-0 (1 trial), NVIDIA A10G of node-1 (1 trial), cpu (4 trials)"
    assert re.search(rf"Trained on\W+{re.escape(places)}", text)


def test_a_table_with_costs_says_that_others_may_have_used_the_machine(home):
    def told(metric: str) -> str:
        return " ".join(
            level_table(
                study([DatasetResults("x", None, [cell(home, {"n": metric}, [{metric: 1.0}] * 2)], [], [])])
            ).notes
        )

    assert "a busy one takes longer" in told(SECONDS)
    assert "a busy one takes longer" not in told(NDCG)


def test_markdown_tables_have_as_many_columns_in_every_row(home):
    cells = [cell(home, {"encoder": e}, [{NDCG: v}] * 2) for e, v in (("a|b", 0.4), ("c", 0.3))]
    text = written(study([DatasetResults("x", None, cells, [], [compared("a|b", "c", 0.1, 0.01)])]), home)["report.md"]
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 3
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "![Which encoder?](plot.png)" in text


def test_the_note_fits_into_mlflow_whatever_the_size_of_the_study(home):
    results = three(home, CLEAR)
    many = [compared("a", f"{'long' * 20}{n}", 0.1, 0.5) for n in range(80)]
    cells = [*results.cells, *(CellResults(test.second, {}, {}, {0: failure("gone")}, None) for test in many)]
    text = note(
        study([replace(results.groups[0], cells=cells, comparisons=[*CLEAR, *many])]), "get-artifact?path=plot.png"
    )
    assert len(text) <= 8000
    assert text.startswith("**On sequential NDCG@10 a (0.4000)")  # MLflow shows the first lines, and folds the rest
    assert "![Which encoder?](get-artifact?path=plot.png)" in text


@pytest.mark.slow
def test_tables_for_other_programs_come_back_as_they_were(home):
    written(three(home, CHEAP), home)
    folder = home.report("encoders", "k1")
    trials = pd.read_csv(folder / "trials.csv")
    assert trials["encoder"].tolist() == list("aaabbbccc")
    assert trials["seed"].tolist() == [0, 1, 2] * 3
    assert trials[NDCG].tolist() == [0.4] * 3 + [0.35] * 3 + [0.3] * 3
    with (folder / "comparisons.csv").open() as file:
        tests = list(csv.DictReader(file))
    assert [(t["first"], t["second"], t["distinguishable"]) for t in tests] == [
        ("a", "b", "False"),
        ("c", "a", "True"),
        ("b", "c", "True"),
    ]
    assert float(tests[1]["p_adjusted"]) == 0.001


def test_the_hours_count_workers_and_cpus(home):
    assert summary(three(home, CLEAR))["study/hours"] == pytest.approx(9 * 900 * 2 * 2 / 3600)
    assert summary(three(Home(home.root / "x"), CLEAR))[NDCG] == pytest.approx(0.4)


@pytest.mark.slow
@pytest.mark.parametrize("metrics", [{NDCG: 0.3, SECONDS: 9.0}, {NDCG: 0.3}, {}])
def test_the_plot_is_an_image_whatever_is_missing(home, metrics):
    written(study([DatasetResults("toy", None, [cell(home, {"encoder": "$a$"}, [metrics])], [])]), home)
    with Image.open(home.report("encoders", "k1") / "plot.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 100


@pytest.mark.slow
def test_several_datasets_stand_side_by_side_and_their_orders_are_compared(home):
    groups = []
    for name, means in (("toys", (0.4, 0.3, 0.2)), ("data/beauty", (0.2, 0.3, 0.4))):
        cells = [
            cell(home, {"dataset": name, "encoder": level}, [{NDCG: mean}] * 2)
            for level, mean in zip("abc", means, strict=True)
        ]
        groups.append(
            DatasetResults(name, None, cells, [], [compared(cells[0].name, cells[2].name, means[0] - means[2], 0.01)])
        )
    results = study(groups, factors=("dataset", "encoder"))
    said = answer(results)
    assert "toys: on sequential NDCG@10 a (0.4000) has the best mean: it beats c" in said
    assert "beauty: on sequential NDCG@10 c (0.4000) has the best mean: it beats a" in said
    page = written(results, home)["report.html"]
    assert "toys and beauty: Kendall&#39;s tau −1.00 (p = 0.33)" in page
    assert summary(results).keys() >= {f"{NDCG}/toys", f"{NDCG}/data-beauty"}
    assert [row.head for row in level_table(results).rows] == ["toys", *"abc", "beauty", *"abc"]


@pytest.mark.slow
def test_a_search_shows_its_best_by_validation_its_front_and_what_ended_early(home):
    planted = (
        ("0.1", 0.10, 100.0, 0.9),
        ("0.01", 0.30, 900.0, 0.2),
        ("0.001", 0.20, 500.0, 0.3),
        ("0.5", 0.1, 600.0, 0.4),
    )
    cells = [
        cell(home, {"learning_rate": rate}, [{VALID: valid, SIZE: size, NDCG: test}])
        for rate, valid, size, test in planted
    ]
    cells.append(CellResults("0.9", {"learning_rate": "0.9"}, {}, {0: failure("stopped early", "stopped_early")}, None))
    group = DatasetResults("toy", None, cells, [])
    results = study([group], kind="search", metrics=(VALID, SIZE), factors=("learning_rate",))
    said = answer(results)
    assert (
        "Of 5 trials, 1 of which stopped early or failed, the best has a validation sequential NDCG@10 of 0.3000"
        in said
    )
    assert "with learning_rate 0.01; 3 trials are Pareto-optimal in" in said
    assert "its test results are sequential NDCG@10 0.2000" in said
    files = written(results, home)
    assert [line[:6] for line in files["report.md"].splitlines() if "◆ |" in line] == ["| 2 ◆ ", "| 3 ◆ ", "| 1 ◆ "]
    assert "Selected on validation only" in files["report.html"]
    assert Page(files["report.html"]).tags.count("svg") == 4  # two histories, the front, one setting
    console = Console(width=150, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show(results, console)
    assert "warning" not in console.export_text()


@pytest.mark.slow
def test_a_stored_search_adds_what_was_proposed_and_what_matters(home):
    search = Search("encoders", "How good?", {"learning_rate": Range(0.001, 0.1, log=True)}, (VALID,))
    with open_search(search, home, "k1") as stored:
        for number in range(10):
            stored.add_trial(
                optuna.trial.create_trial(
                    params={"learning_rate": 0.001 * (number + 1)},
                    distributions=Space(search.space).distributions,
                    value=0.1 * number,
                    user_attrs={"fingerprint": f"f{number}"},
                )
            )
    cells = [cell(home, {"learning_rate": rate}, [{VALID: float(rate)}]) for rate in ("0.01", "0.02")]
    results = study(
        [DatasetResults("toy", None, cells, [])], kind="search", metrics=(VALID,), factors=("learning_rate",)
    )
    text = written(results, home)["report.html"]
    assert "Proposals: 10 complete." in text
    assert "Importance for validation sequential NDCG@10: learning_rate 100 %" in text


@pytest.mark.slow
def test_two_factors_are_drawn_as_lines_of_one_along_the_other(home):
    cells = [
        cell(home, {"encoder": e, "image_tokens": n}, [{NDCG: v}])
        for e, n, v in (("a", "1", 0.1), ("a", "2", 0.2), ("b", "1", 0.3), ("b", "2", 0.25))
    ]
    results = study([DatasetResults("toy", None, cells, [])], factors=("encoder", "image_tokens"))
    text = written(results, home)["report.html"]
    assert "sequential NDCG@10 by image_tokens, a line for each encoder" in text
    assert "sequential NDCG@10 is highest for b · 1 (0.3000" in text


def beauty(shop: Dataset, **manifest) -> Dataset:
    source = {"name": "amazon-2014", "category": "Beauty"}
    return replace(shop, manifest=shop.manifest.model_copy(update={"source": source, **manifest}))


def test_the_papers_figures_stand_beside_ours_with_what_keeps_them_apart(home, shop):
    dataset = beauty(shop)
    metrics = {NDCG: 0.03, "test/explanation/bleu_4_characters": 12.0}
    cells = [cell(home, {"encoder": e}, [metrics], dataset=dataset) for e in "ab"]
    text = written(study([DatasetResults("beauty", dataset, cells, [])]), home)["report.md"]
    assert "| *VIP5 (paper)* | 0.0467 | 2.84 |" in text
    assert "| *SASRec (paper)* | 0.0318 | – |" in text
    for difference in (
        "backbone tiny (paper: t5-small)",
        "image_tokens 0 (paper: 2)",
        "epochs 2 (paper: 20)",
        "random (paper: numbered along histories",
        "direct_template B-5 (paper: B-8)",
        "a sample of 10 users",
        "exclude_history true (paper: false)",
        "on characters here",
        "40 users and",
    ):
        assert difference in text


def test_other_datasets_have_no_figures_in_the_paper(home, shop):
    assert paper_figures(shop) is None
    assert paper_figures(beauty(shop)) is not None
    results = study([DatasetResults("minimart", shop, [cell(home, {"encoder": "a"}, [{NDCG: 0.1}], dataset=shop)], [])])
    assert "The paper reports no results for minimart." in written(results, home)["report.md"]


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
    assert paper_share(small(backbone="t5-small", **settings)) == pytest.approx(percent, abs=0.005)


@pytest.mark.slow
def test_a_report_is_drawn_again_only_if_it_would_say_something_else(tmp_path):
    home = Home(tmp_path)
    results = three(home, [compared("a", "b", 0.05, 0.01)])

    def update(new: StudyResults) -> bool:
        """Is the page written?"""
        folder = new.record.folder(home)
        (folder / "report.html").write_text("old")
        assert update_report(new, home, content_of(new)) == write_files
        return (folder / "report.html").read_text() != "old"

    write_files = update_report(results, home, content_of(results))
    assert all(file.is_file() for file in write_files)
    assert not update(results)
    later = replace(results, record=results.record.model_copy(update={"seconds": {"report": 1.0}}))
    assert not update(later)
    assert update(replace(results, record=results.record.model_copy(update={"command": "other"})))
    assert update(results)
    assert update(replace(results, groups=[replace(results.groups[0], cells=results.groups[0].cells[:2])]))
    assert update(results)
    (home.report("encoders", "k1") / "plot.png").unlink()
    assert update(results)
