"""The prompt templates, read from `templates.yaml` and checked."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from vip5core.errors import UserError, unknown_name
from vip5core.vocabulary import TASKS

SOURCE_FIELDS = frozenset(
    {"user", "name", "history", "item", "title", "candidates", "image", "summary", "rating", "aspect"}
)
TARGET_FIELDS = frozenset({"item", "answer", "explanation", "rating"})

_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Piece:
    """A run of literal words, or a field."""

    text: str
    is_field: bool


@dataclass(frozen=True)
class Template:
    """One prompt: how its sample is drawn (`group`), what the model reads (`source`) and must write (`target`)."""

    id: str
    group: str
    task: str
    source: tuple[Piece, ...]
    target: tuple[Piece, ...]
    seen: bool

    @property
    def fields(self) -> set[str]:
        return {piece.text for piece in self.source if piece.is_field}


@dataclass(frozen=True)
class TemplateSet:
    """All templates and the separators that stand between the items of a list."""

    templates: dict[str, Template]
    separators: dict[str, tuple[str, ...]]

    def __getitem__(self, template_id: str) -> Template:
        if template_id not in self.templates:
            raise unknown_name("template", template_id, self.templates)
        return self.templates[template_id]

    def of_group(self, group: str, *, seen: bool) -> list[Template]:
        return [t for t in self.templates.values() if t.group == group and t.seen == seen]


def parse(text: str, allowed: frozenset[str], where: str) -> tuple[Piece, ...]:
    """Split a template into literals and fields.

    Raises:
        UserError: for an unknown field, or one that is not a word of its own (a prompt is compiled from separately
            tokenised pieces, which only meet at white space).
    """
    pieces: list[Piece] = []
    for word in text.split():
        field = _FIELD.fullmatch(word)
        if field is None and ("{" in word or "}" in word):
            raise UserError(f"template {where}: {word!r} must be a field between spaces, such as {{item}}")
        if field is not None:
            if field[1] not in allowed:
                raise unknown_name(f"field in template {where}", field[1], sorted(allowed))
            pieces.append(Piece(field[1], is_field=True))
        elif pieces and not pieces[-1].is_field:
            pieces[-1] = Piece(f"{pieces[-1].text} {word}", is_field=False)
        else:
            pieces.append(Piece(word, is_field=False))
    return tuple(pieces)


def load_templates(path: Path) -> TemplateSet:
    """Read and check a template file.

    Raises:
        UserError: naming the template and the rule that it breaks.
    """
    data = yaml.safe_load(path.read_text("utf-8"))
    groups, unseen = data["groups"], set(data["unseen"])
    unknown = unseen - set(data["templates"])
    if unknown:
        raise UserError(f"{path.name}: unseen names {sorted(unknown)}, which are no templates")
    templates = {}
    for template_id, entry in data["templates"].items():
        if entry["group"] not in groups:
            raise unknown_name(f"group in template {template_id}", entry["group"], groups)
        group = groups[entry["group"]]
        if group["task"] not in TASKS:
            raise unknown_name(f"task in group {entry['group']}", group["task"], TASKS)
        templates[template_id] = Template(
            id=template_id,
            group=entry["group"],
            task=group["task"],
            source=parse(entry["source"], SOURCE_FIELDS, template_id),
            target=parse(entry.get("target", group["target"]), TARGET_FIELDS, template_id),
            seen=template_id not in unseen,
        )
    separators = {name: tuple(words) for name, words in data["separators"].items()}
    return TemplateSet(templates, separators)


@functools.cache
def default_templates() -> TemplateSet:
    """The templates of this package."""
    return load_templates(Path(__file__).with_name("templates.yaml"))
