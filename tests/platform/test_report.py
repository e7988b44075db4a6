from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image
from vip5platform.plots import plot
from vip5platform.report import Report, Row
from vip5platform.study import Study, factor

NDCG, SECONDS = "test/sequential/ndcg_at_10", "cost/train_seconds"
STUDY = Study("s", "Which encoder?", (factor("encoder", "a", "b"),))


def report(a: dict, b: dict, failure: str | None = None) -> Report:
    levels = [Row("a", dict(a)), Row("b", dict(b), failure)]
    baselines = [Row("popularity", {NDCG: [0.05]}), Row("random", {NDCG: [0.01]})]
    return Report(STUDY, "toy", levels, baselines, pd.DataFrame({"encoder": ["a", "b"]}))


def test_the_best_level_is_bold_by_each_metrics_own_direction():
    text = report({NDCG: [0.3], SECONDS: [9.0]}, {NDCG: [0.2], SECONDS: [5.0]}).markdown()
    assert "| a | **0.3000** | 9.0 |" in text
    assert "| b | 0.2000 | **5.0** |" in text
    assert "| *popularity* | 0.0500 | – |" in text


def test_levels_that_look_alike_are_not_ranked():
    same = report({NDCG: [0.20001]}, {NDCG: [0.20002]})
    assert "**" not in same.markdown()
    assert "the same with all" in same.answer()


def test_several_seeds_are_shown_as_mean_and_standard_deviation():
    assert "0.2000 ± 0.1414" in report({NDCG: [0.1, 0.3]}, {NDCG: [0.1]}).markdown()


def test_the_answer_names_the_highest_level_beside_popularity():
    answer = report({NDCG: [0.3]}, {NDCG: [0.2]}).answer()
    assert answer == "On the test set, sequential NDCG@10 is highest with a (0.3000, popularity 0.0500)."


def test_a_failed_trial_is_a_hole_with_its_reason():
    text = report({NDCG: [0.3]}, {}, "OutOfMemoryError: no room").markdown()
    assert "| b (incomplete) | – |" in text
    assert "- b: OutOfMemoryError: no room" in text


@pytest.mark.parametrize("values", [{NDCG: [0.3], SECONDS: [9.0]}, {}])
def test_the_plot_is_a_picture_whatever_is_missing(tmp_path, values):
    path = plot(report(values, {}), tmp_path / "plot.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 100
    assert [p.name for p in tmp_path.iterdir()] == ["plot.png"]


def test_a_study_without_results_says_so():
    assert report({}, {}).answer() == "No trial has finished."
