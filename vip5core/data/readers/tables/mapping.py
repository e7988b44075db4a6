"""`columns.yaml`: the files and columns of a user's own tables.

    name: my-shop                       # every key is optional
    interactions: {file: orders.csv, user: customer, item: sku, time: bought_at, rating: stars}
    items: {file: products.parquet, item: sku, title: name, image: photo, description: text, categories: tags}
    explanations: {file: reasons.tsv, user: customer, item: sku, explanation: reason, aspect: topic, split: part}
    images: {root: /disk/photos}        # the folder of the pictures; without it, they lie in the source's folder

The default of a key is its own name: the column of the user is `user`, the file of the items `items.csv` (or .tsv,
.parquet, .csv.gz, .tsv.gz). Columns that are named must exist; of the others, only the required ones must. The columns
of a text table are separated as its extension says, or by the character `separator`: {separator: ";"}.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vip5core.errors import UserError, unknown_name

MAPPING = "columns.yaml"
#: A mapping has a dozen lines; a larger file is something else.
_MAX_BYTES = 64 * 1024

TimeUnit = Literal["s", "ms", "us", "ns", "date"]


class TableColumns(BaseModel):
    """What all tables have: a file, and a column for each role.

    Attributes:
        required: the roles that a table must have.
        roles: all roles that a table may have.
        texts: those whose cells may hold line breaks.
        file: the name of the file; None for the default ones.
        separator: the column separator of a text table; None for that of the file's extension.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=1)
    required: ClassVar[tuple[str, ...]]
    roles: ClassVar[tuple[str, ...]]
    texts: ClassVar[tuple[str, ...]] = ()

    file: str | None = None
    separator: str | None = None

    @field_validator("separator")
    @classmethod
    def _check_separator(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value.isalnum() or value in '"\r\n\0'):
            raise ValueError("must be one character that is no letter, digit or quote: ';' or '|' or \"\\t\" (a tab)")
        return value

    @classmethod
    def find_texts(cls, present: dict[str, str]) -> set[str]:
        """Of the columns of each role, those whose cells may hold line breaks."""
        return set(present.values()) - {name for role, name in present.items() if role not in cls.texts}

    def present(self, columns: list[str]) -> dict[str, str]:
        """The column of each role that a table with `columns` has or must have."""
        wanted = {role: getattr(self, role) for role in self.roles}
        needed = {*self.required, *self.model_fields_set}
        return {role: name for role, name in wanted.items() if name in columns or role in needed}


class InteractionColumns(TableColumns):
    """The columns of interactions. Without times, the order of the rows is the order of events."""

    required = ("user", "item")
    roles = ("user", "item", "time", "rating")

    user: str = "user"
    item: str = "item"
    time: str = "time"  # if it is neither named nor there: timestamp
    rating: str = "rating"
    time_unit: TimeUnit | None = None  # None: guessed from the values
    time_format: str | None = Field(None, pattern="%")  # of dates that are not ISO 8601, as for strptime: %d/%m/%Y

    @model_validator(mode="after")
    def _check_time_format(self) -> Self:
        if self.time_format is not None and self.time_unit not in (None, "date"):
            raise ValueError(f"time_format is for dates, but time_unit is {self.time_unit}: leave one of them out")
        return self

    def present(self, columns: list[str]) -> dict[str, str]:
        found = super().present(columns)
        if "time" not in found and "timestamp" in columns:
            found["time"] = "timestamp"
        return found


class ItemColumns(TableColumns):
    """The columns of items."""

    required = ("item",)
    roles = ("item", "title", "image", "description", "categories")
    texts = ("title", "description", "categories")

    item: str = "item"
    title: str = "title"
    image: str = "image"  # a path inside the folder of the pictures, or an address
    description: str = "description"
    categories: str = "categories"


class ExplanationColumns(TableColumns):
    """The columns of explanations."""

    required = ("user", "item", "explanation")
    roles = ("user", "item", "explanation", "aspect", "rating", "summary", "split")
    texts = ("explanation", "summary")

    user: str = "user"
    item: str = "item"
    explanation: str = "explanation"
    aspect: str = "aspect"
    rating: str = "rating"
    summary: str = "summary"
    split: str = "split"


class ImageFiles(BaseModel):
    """Where the pictures of the items lie.

    Attributes:
        root: their folder, absolute or relative to the source's, which may be outside it; None for the source's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=1)

    root: str | None = None


class Mapping(BaseModel):
    """The whole of `columns.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("tables", pattern=r"^[\w.-]{1,64}$")
    interactions: InteractionColumns = InteractionColumns()
    items: ItemColumns = ItemColumns()
    explanations: ExplanationColumns = ExplanationColumns()
    images: ImageFiles = ImageFiles()


def read_mapping(path: Path) -> Mapping:
    """Read the mapping at `path`; without a file, it has all defaults.

    Raises:
        UserError: if the file is not YAML, or has an unknown key (naming the nearest) or an invalid value.
    """
    if not path.exists():
        return Mapping()
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(
                f"{str(path)!r} is larger than {_MAX_BYTES // 1024} KiB: it should only name files and columns"
            )
        # BaseLoader: every value is text, so that a column called `no` or `2021` keeps its name.
        given = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise UserError(f"{str(path)!r} is not valid YAML: {error}") from None
    if not isinstance(given, dict):
        raise UserError(f"{str(path)!r} is not a mapping: write lines such as 'interactions: {{file: orders.csv}}'")
    try:
        return Mapping.model_validate(given)
    except ValidationError as error:
        raise _to_user_error(path, error) from None


def _to_user_error(path: Path, error: ValidationError) -> UserError:
    """The error for the first problem of a mapping."""
    first = error.errors()[0]
    keys = [str(key) for key in first["loc"]]
    if first["type"] == "extra_forbidden":
        section: type[BaseModel] = Mapping
        for key in keys[:-1]:
            section = type(getattr(Mapping(), key))
        where = f"{path.name}, {keys[0]}" if keys[1:] else path.name
        return unknown_name(f"key in {where}:", keys[-1], section.model_fields)
    return UserError(f"{str(path)!r}: {'.'.join(keys) or 'file'}={first['input']!r}: {first['msg']}")
