"""The 29 templates: the paper's fields and targets, split as it splits them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vip5core.errors import UserError
from vip5core.templates import SOURCE_FIELDS, default_templates, load_templates, parse

# id -> fields of the source, fields of the target (VIP5, appendix)
PAPER = {
    **dict.fromkeys(("A-1", "A-2", "A-3"), ("user history", "item")),
    **dict.fromkeys(("A-4", "A-5", "A-6", "A-9"), ("name history", "item")),
    "A-7": ("user history item image", "answer"),
    "A-8": ("name history item image", "answer"),
    "B-1": ("user item image", "answer"),
    "B-2": ("name item image", "answer"),
    "B-3": ("name title image", "answer"),
    "B-4": ("user title image", "answer"),
    **dict.fromkeys(("B-5", "B-6"), ("name candidates", "item")),
    **dict.fromkeys(("B-7", "B-8"), ("user candidates", "item")),
    "C-1": ("user title image", "explanation"),
    "C-2": ("summary user item image", "explanation"),
    "C-3": ("user rating title image", "explanation"),
    "C-4": ("name title image", "explanation"),
    "C-5": ("summary name title image", "explanation"),
    "C-6": ("name rating item image", "explanation"),
    "C-7": ("aspect user item image", "rating explanation"),
    "C-8": ("name item image", "rating explanation"),
    "C-9": ("aspect user title image", "explanation"),
    "C-10": ("aspect name title image", "explanation"),
    "C-11": ("aspect rating user item image", "explanation"),
    "C-12": ("aspect rating name item image", "explanation"),
}
TASK = {"A": "sequential", "B": "direct", "C": "explanation"}
GROUPS = {  # what is drawn together per user and epoch
    "next_item": {"A-1", "A-2", "A-3", "A-4", "A-5", "A-6"},
    "next_check": {"A-7", "A-8"},
    "user_check": {"B-1", "B-2", "B-3", "B-4"},
    "choice": {"B-5", "B-6", "B-7"},
    "explanation": {f"C-{n}" for n in range(1, 12)},
}


def test_there_are_the_papers_29() -> None:
    assert set(default_templates().templates) == set(PAPER)
    assert len(PAPER) == 29


@pytest.mark.parametrize("template_id", PAPER)
def test_fields_targets_and_task_are_the_papers(template_id: str) -> None:
    template = default_templates()[template_id]
    source, target = PAPER[template_id]
    assert template.fields == set(source.split())
    assert [piece.text for piece in template.target if piece.is_field] == target.split()
    assert template.task == TASK[template_id[0]]


def test_seen_and_unseen_are_the_papers() -> None:
    templates = default_templates()
    assert {t.id for t in templates.templates.values() if not t.seen} == {"A-9", "B-8", "C-12"}
    for group, ids in GROUPS.items():
        assert {template.id for template in templates.of_group(group, seen=True)} == ids


def test_an_image_stands_behind_its_item() -> None:
    for template in default_templates().templates.values():
        fields = [piece.text for piece in template.source]
        if "image" in fields:
            assert fields[fields.index("image") - 1] in ("item", "title")


def test_no_two_wordings_are_alike() -> None:
    wordings = [template.source for template in default_templates().templates.values()]
    assert len(set(wordings)) == 29


def test_an_unknown_template_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown template 'A3': did you mean 'A-\d'"):
        default_templates()["A3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("what of {itme} ?", "unknown field in template X 'itme': did you mean 'item'"),
        ("what of {item}?", "'{item}[?]' must be a field between spaces"),
        ("what of {item ?", "must be a field between spaces"),
    ],
)
def test_a_broken_template_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(text, SOURCE_FIELDS, "X")


@pytest.mark.parametrize(
    ("template", "unseen", "message"),
    [
        ("{group: nxt, source: x}", "[]", "group in template T-1"),
        ("{group: g, source: '{titel}'}", "[]", "field in template T-1"),
        ("{group: g, source: x}", "[T-2]", "T-2"),
    ],
)
def test_a_broken_template_file_names_the_template(template: str, unseen: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "templates.yaml"
    path.write_text(
        f"groups: {{g: {{task: direct, target: '{{item}}'}}}}\nunseen: {unseen}\nseparators: {{}}\n"
        f"templates: {{T-1: {template}}}\n"
    )
    with pytest.raises(UserError, match=message):
        load_templates(path)
