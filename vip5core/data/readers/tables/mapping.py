"""`columns.yaml`: which file and which column of a user's own tables holds what.

    name: my-shop                       # every key may be left out
    interactions: {file: orders.csv, user: customer, item: sku, time: bought_at, rating: stars}
    items: {file: products.parquet, item: sku, title: name, image: photo, description: text, categories: tags}
    explanations: {file: reasons.tsv, user: customer, item: sku, explanation: reason, aspect: topic, split: part}

A key that is left out has its own name for a value: the column of the user is called `user`, the file of the items
`items.csv` (or .tsv, .parquet, .csv.gz, .tsv.gz). Columns that are named must be there; of the others, those without
which there is no table.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vip5core.errors import UserError, unknown_name

MAPPING = "columns.yaml"
#: A mapping has a dozen lines; what is larger than this is something else.
_MAX_BYTES = 64 * 1024

TimeUnit = Literal["s", "ms", "us", "ns", "date"]


class TableColumns(BaseModel):
    """What all tables have: a file, and columns by role.

    Attributes:
        required: the roles without which there is no table.
        roles: all roles.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=1)
    required: ClassVar[tuple[str, ...]]
    roles: ClassVar[tuple[str, ...]]

    file: str | None = None
    separator: str | None = Field(None, pattern=r"^[,;|:\t ]$")  # of a text table; None: as the name ends

    def present(self, columns: list[str]) -> dict[str, str]:
        """Role to column, of the roles that a table with `columns` has or must have."""
        wanted = {role: getattr(self, role) for role in self.roles}
        needed = {*self.required, *self.model_fields_set}
        return {role: name for role, name in wanted.items() if name in columns or role in needed}


class InteractionColumns(TableColumns):
    """Who had what. Without a column of times, the order of the rows is the order of events."""

    required = ("user", "item")
    roles = ("user", "item", "time", "rating")

    user: str = "user"
    item: str = "item"
    time: str = "time"  # if not named and not there: timestamp
    rating: str = "rating"
    time_unit: TimeUnit | None = None  # None: as the values look
    time_format: str | None = Field(None, pattern="%")  # of dates that are not ISO, as for strptime: %d/%m/%Y

    @model_validator(mode="after")
    def _format_is_of_dates(self) -> Self:
        if self.time_format is not None and self.time_unit not in (None, "date"):
            raise ValueError(f"time_format is for dates, and time_unit says {self.time_unit}: leave one of them out")
        return self

    def present(self, columns: list[str]) -> dict[str, str]:
        found = super().present(columns)
        if "time" not in found and "timestamp" in columns:
            found["time"] = "timestamp"
        return found


class ItemColumns(TableColumns):
    """What is known about the items."""

    required = ("item",)
    roles = ("item", "title", "image", "description", "categories")

    item: str = "item"
    title: str = "title"
    image: str = "image"  # a path inside the source's folder, or an address
    description: str = "description"
    categories: str = "categories"


class ExplanationColumns(TableColumns):
    """Why somebody had (or liked) something, in words."""

    required = ("user", "item", "explanation")
    roles = ("user", "item", "explanation", "aspect", "rating", "summary", "split")

    user: str = "user"
    item: str = "item"
    explanation: str = "explanation"
    aspect: str = "aspect"
    rating: str = "rating"
    summary: str = "summary"
    split: str = "split"


class Mapping(BaseModel):
    """All of `columns.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("tables", pattern=r"^[\w.-]{1,64}$")
    interactions: InteractionColumns = InteractionColumns()
    items: ItemColumns = ItemColumns()
    explanations: ExplanationColumns = ExplanationColumns()


def read_mapping(path: Path) -> Mapping:
    """The mapping at `path`; without a file, all defaults.

    Raises:
        UserError: if it is no YAML, or has an unknown key (naming the nearest) or a value that cannot be.
    """
    if not path.exists():
        return Mapping()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{str(path)!r} has more than {_MAX_BYTES // 1024} KiB: it should name columns, no more")
        # BaseLoader: every value is text, so that a column called `no` or `2021` keeps its name.
        given = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise UserError(f"{str(path)!r} is not YAML ({error})") from None
    if not isinstance(given, dict):
        raise UserError(f"{str(path)!r} is not a mapping: write lines such as 'interactions: {{file: orders.csv}}'")
    try:
        return Mapping.model_validate(given)
    except ValidationError as error:
        raise _explained(path, error) from None


def _explained(path: Path, error: ValidationError) -> UserError:
    """The first problem of a mapping, in one line."""
    first = error.errors()[0]
    keys = [str(key) for key in first["loc"]]
    if first["type"] == "extra_forbidden":
        section: type[BaseModel] = Mapping
        for key in keys[:-1]:
            section = type(getattr(Mapping(), key))
        where = f"{path.name}, {keys[0]}" if keys[1:] else path.name
        return unknown_name(f"key in {where}:", keys[-1], section.model_fields)
    return UserError(f"{str(path)!r}: {'.'.join(keys) or 'file'}={first['input']!r}: {first['msg']}")
