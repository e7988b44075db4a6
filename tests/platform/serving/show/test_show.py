"""Pages of models: everything in one file, small, with the right pictures, words and ranks."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from support.trained import train_in
from vip5platform.cli.vip5 import main
from vip5platform.serving.show.choose import sample_users, users_that_differ, verdict
from vip5platform.serving.show.gather import Show, gather
from vip5platform.serving.show.page import render_page, words_shown
from vip5platform.serving.show.slices import slice_gains

from vip5core.data.dataset import open_dataset
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.serving import ModelFiles, TrainedModel, Word, answer_cases, questions_about


class Page(HTMLParser):
    """The elements of a page, and whether all are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.classes: list[str] = []
        self.outside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.classes += (known.get("class") or "").split()
        self.outside += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def model(trained: ModelFiles) -> TrainedModel:
    return TrainedModel(trained, open_dataset(trained.dataset))


@pytest.mark.slow
def test_a_page_is_whole_self_contained_and_has_each_picture_once(model: TrainedModel) -> None:
    people = gather([model], list(range(1, 41)), model.config.tasks)
    text = render_page(Show(["a model"], model.dataset, people))
    page = Page(text)
    assert page.open == []
    assert page.outside == []
    assert "http" not in text
    styles = re.findall(r"^\.p(\d+)\{background-image:url\(data:image/webp;base64,", text, re.MULTILINE)
    assert len(styles) == len(set(styles))
    assert {name for name in page.classes if re.fullmatch(r"p\d+", name)} == {f"p{item}" for item in styles}
    target = people[0].asked[0]
    title = model.dataset.items["title"].iloc[target.item - 1]
    assert f"The target: <b>{title}</b> ({target.item})" in text
    assert text.count("<article") == 40


@pytest.mark.slow
@pytest.mark.parametrize("models", [1, 2])
def test_a_page_of_200_users_is_below_5_mb(model: TrainedModel, models: int) -> None:
    people = gather([model] * models, range(1, 41), model.config.tasks) * 5
    assert len(people) == 200
    assert len(render_page(Show(["a model"] * models, model.dataset, people)).encode()) < 5e6


def test_text_is_escaped(model: TrainedModel) -> None:
    (person,) = gather([model], [1], ["sequential"])
    text = render_page(Show(["<script>"], model.dataset, [person]))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_long_prompts_are_cut_in_their_middle_unless_they_are_wanted_whole(model: TrainedModel) -> None:
    words = [Word((str(number),), number) for number in range(1, 201)]
    (case,) = answer_cases(model, questions_about(model, "sequential", [1]))
    long, short = replace(case, words=words), replace(case, words=words[:50])
    cut = words_shown(long, whole=False)
    assert cut.count(None) == 1
    assert (cut[0], cut[-1]) == (words[0], words[-1])
    assert words_shown(long, whole=True) == words
    assert words_shown(short, whole=False) == words[:50]


def rows(ranks: list[int]) -> pd.DataFrame:
    ranks_of = pd.Series(ranks)
    return pd.DataFrame(
        {
            "task": "sequential",
            "user": range(1, len(ranks) + 1),
            "item": 1,
            "rank": ranks_of,
            "reciprocal_rank": (1 / ranks_of.where(ranks_of > 0)).fillna(0),
        }
    )


def test_a_sample_has_hits_near_misses_and_failures_and_is_that_of_its_seed() -> None:
    table = rows([1, 2, 3, 4, 5, 6, 15, 0, 0, 0])
    drawn = sample_users(table, "sequential", 6, seed=3)
    kinds = [verdict(table["rank"].iloc[user - 1]) for user in drawn]
    assert sorted(kinds[:3]) == ["failure", "hit", "near miss"]
    assert kinds.count("near miss") == 1
    assert len(set(drawn)) == 6
    assert drawn == sample_users(table, "sequential", 6, seed=3)
    assert {tuple(sample_users(table, "sequential", 6, seed)) for seed in range(5)} != {tuple(drawn)}
    with pytest.raises(UserError, match="--task direct: the test of this trial did not ask for it; it has sequential"):
        sample_users(table, "direct", 6, seed=0)


def test_users_on_whom_two_models_differ_most_come_first() -> None:
    assert users_that_differ([rows([1, 2, 0, 4]), rows([1, 0, 1, 5])], "sequential", 3) == [3, 2, 4]


def test_slices_say_who_gains() -> None:
    def trial(rank_of_tail: int) -> pd.DataFrame:
        slices = ["head", "tail", "tail", "head"]
        ranks = [1, rank_of_tail, rank_of_tail, 0]
        known = {"task": "sequential", "split": "test", "user": range(1, 5), "rank": ranks}
        return pd.DataFrame({**known, "target_slice": slices, "history_slice": "short"})

    found = {part.name: part for part in slice_gains([trial(0), trial(1)], "sequential")}
    assert {name: (part.users, part.means) for name, part in found.items()} == {
        "tail items": (2, (0.0, 1.0)),
        "head items": (2, (0.5, 0.5)),
        "short histories": (4, (0.25, 0.75)),
    }
    assert found["tail items"].gain == 1.0


@pytest.mark.slow
def test_users_whom_the_split_does_not_ask_have_explanations_or_are_refused(
    trained_by_time: ModelFiles, home_by_time: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = TrainedModel(trained_by_time, open_dataset(trained_by_time.dataset))
    dataset, asked = model.dataset, set(model.dataset.asked_users("test").tolist())
    everybody = range(1, dataset.n_users + 1)
    explained = [person for person in gather([model], everybody, ["explanation"]) if person.user not in asked]
    assert explained
    assert all(person.history == dataset.history(person.user).tolist() for person in explained)
    before = {user: dataset.before(user, "test").tolist() for user in asked}
    people = gather([model], everybody, ["sequential"])
    assert {person.user: person.history for person in people} == before
    unasked = min(set(everybody) - asked)
    out = tmp_path / "page.html"
    asks = ["show", trained_by_time.trial.name, "--task", "sequential", "--user", f"user_{unasked}"]
    with pytest.raises(SystemExit, match="2"):
        main([*asks, "--home", str(home_by_time), "--out", str(out)])
    said = " ".join(capsys.readouterr().err.split())
    assert f"--user user_{unasked}: the test asks nothing about this user (split=time, tasks=sequential)" in said
    assert not out.exists()


@pytest.mark.slow
def test_the_command_writes_pages_of_one_and_of_two_runs(
    trained: ModelFiles, trained_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train_in(trained_home, image_tokens=0)
    out = tmp_path / "page.html"

    def show(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(["show", *map(str, arguments), "--home", str(trained_home), "--out", str(out)])
        seen = capsys.readouterr()
        return int(left.value.code or 0), " ".join((seen.out + seen.err).split())

    code, said = show(trained.trial.name, "--sample", 4, "--task", "sequential")
    assert code == 0
    assert f"4 users: {out}" in said
    assert "sequential: user_" in said
    code, said = show(trained.trial.name, other.trial.name, "--sample", 3)
    text = out.read_text("utf-8")
    assert text.count("<article") == 3
    assert "long histories" in text
    assert f"image_tokens=0 ({other.trial.name[:8]})" in text
    code, _ = show(trained.trial.name, "--user", "user_7", "--user", "user_3")
    assert re.findall(r'<article id="u(\d+)"', out.read_text("utf-8")) == ["7", "3"]
    code, said = show(trained.trial.name, "--user", "nobody")
    assert (code, "unknown user 'nobody'" in said) == (2, True)
