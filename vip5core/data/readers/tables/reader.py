"""A user's own tables of interactions, items and explanations, in CSV, TSV or Parquet.

Three files in one folder, of which only the interactions are required; `columns.yaml` maps their columns (see
`vip5core.data.readers.tables.mapping`). Text is UTF-8. A row that cannot be used is dropped, counted, and its place
recorded.

    interactions   user, item; optionally time (see `vip5core.data.readers.tables.times`) and rating
    items          item; optionally title, description, categories (a list, or text separated by | or ;), and image: a
                   path inside the folder, or in that of `images.root`, or an http(s) address. With a root and without
                   this column, pictures are named by the ids of the items
    explanations   user, item, explanation; optionally aspect, summary, rating, and split (train, valid or test; a row
                   without one is in the split of its interaction). Rows without an interaction are dropped

Ids are text: `007` is not `7`. A rating is a number on any scale and is kept as it is, but prompts round it to 1 … 5
stars; an interaction without a rating gets 5.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from vip5core.data.raw import (
    Details,
    DropLedger,
    RawData,
    ReadRequest,
    describe_items_and_users,
)
from vip5core.data.readers.image_files import NoSuchFile, path_inside
from vip5core.data.readers.tables.details import NOT_A_NUMBER, read_explanations, read_items
from vip5core.data.readers.tables.files import (
    SEPARATORS,
    Table,
    add_places,
    as_numbers,
    is_missing,
    open_table,
    require_ids,
)
from vip5core.data.readers.tables.mapping import MAPPING, InteractionColumns, TableColumns, read_mapping
from vip5core.data.readers.tables.pictures import NamedPictures, picture_root
from vip5core.data.readers.tables.times import UNREADABLE, may_be_day_or_month_first, read_times
from vip5core.data.readers.text_files.csv_rows import find_separator, need_columns
from vip5core.errors import UserError

#: The rating of an interaction that has none: implicit feedback counts as positive.
NO_RATING = 5.0


def read_tables(request: ReadRequest) -> RawData:
    """Read the tables in the request's folder.

    The interactions are read at once, the other tables later, for the users and items that are kept. Tables are read in
    chunks of some ten thousand rows.

    Raises:
        UserError: if there are no interactions, a file is broken or has another format, a column is missing, or the
            mapping is invalid.
    """
    source = request.folder
    mapping = read_mapping(source / MAPPING)
    ledger = DropLedger()
    root = picture_root(source)
    table = _find_table(source, "interactions", mapping.interactions)
    if table is None:
        raise UserError(
            f"{str(source)!r} has no interactions: needs interactions.csv (or .tsv, .parquet), or a {MAPPING} that "
            "names the file, as in 'interactions: {file: orders.csv, user: customer, item: sku}'"
        )
    items = _find_table(source, "items", mapping.items)
    explanations = _find_table(source, "explanations", mapping.explanations)
    interactions, order = _read_interactions(table, mapping.interactions, ledger)

    def details(kept: pd.DataFrame) -> Details:
        known: dict[str, dict[str, object]] = {}
        pictures = NamedPictures(source, root, ledger)
        columns = {} if items is None else mapping.items.present(items.columns)
        if items is not None:
            known = read_items(items, columns, kept, pictures, ledger)
        if root is not None and "image" not in columns:
            for raw_id in kept["item"].unique():
                known.setdefault(raw_id, {})["image"] = _find_by_id(pictures, raw_id, ledger)
        pictures.add_unused()
        described = Details(*describe_items_and_users(kept, known))
        if explanations is None:
            return described
        present = mapping.explanations.present(explanations.columns)
        return Details(described.items, described.users, read_explanations(explanations, present, kept, ledger))

    return RawData(
        source={"name": mapping.name, "reader": request.name, "order": order},
        interactions=interactions,
        details=details,
        ledger=ledger,
        has_times="time" in mapping.interactions.present(table.columns),
    )


def _find_by_id(pictures: NamedPictures, raw_id: str, ledger: DropLedger) -> Path | None:
    try:
        return pictures.find(raw_id)
    except NoSuchFile:  # the builder counts the items without an image
        return None
    except ValueError as error:
        ledger.add("image", f"{error}", f"item {raw_id}")
        return None


def _find_table(source: Path, kind: str, columns: TableColumns) -> Table | None:
    """Find and open the table of a kind, and check its columns; None if there is none and the mapping names none.

    Raises:
        UserError: if there are several, the one that is named is missing, or it lacks a column.
    """
    if columns.file is not None:
        try:
            path = path_inside(source, columns.file)
        except ValueError as error:
            raise UserError(
                f"{MAPPING}: {kind}.file={columns.file!r}: {error}: name a file in {str(source)!r}"
            ) from None
    else:
        found = [source / f"{kind}{ending}" for ending in SEPARATORS if (source / f"{kind}{ending}").is_file()]
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            raise UserError(f"{str(source)!r} has {names}: keep one, or name the file in {MAPPING}")
        if not found:
            return None
        path = found[0]
    table = open_table(path, columns.separator)
    needed = list(columns.present(table.columns).values())
    need_columns(path, table.columns, needed, _way_out(kind, find_separator(table.columns)))
    return table


def _way_out(kind: str, separator: str) -> str:
    """What to write in the mapping if columns are missing from a table, or if it seems to have another separator."""
    if separator:
        return f"write '{kind}: {{separator: {json.dumps(separator)}}}' in {MAPPING}"
    return f"name the columns in {MAPPING}"


def _read_interactions(table: Table, mapping: InteractionColumns, ledger: DropLedger) -> tuple[pd.DataFrame, str]:
    """Read `INTERACTION_COLUMNS` in order of time; returns them, and how the times were read."""
    columns = mapping.present(table.columns)
    parts, times, places = [], [], ""
    offered = 0
    for chunk in table.chunks(list(dict.fromkeys(columns.values())), ledger, "interaction"):
        places = chunk.places
        offered += len(chunk.numbers)
        if "time" in columns:
            missing = is_missing(chunk.columns[columns["time"]])
            chunk = chunk.drop(missing, ledger, "interaction", "no time")
        chunk, ids = require_ids(chunk, columns, ledger, "interaction")
        part = pd.DataFrame(ids)
        part["rating"] = NO_RATING
        if "rating" in columns:
            ratings, wrong = as_numbers(chunk.columns[columns["rating"]], columns["rating"])
            part["rating"] = np.where(np.isnan(ratings), NO_RATING, ratings)
            reason = f"{NOT_A_NUMBER}: {NO_RATING:g} is used"
            add_places(ledger, "interaction", reason, chunk.places, chunk.numbers[wrong])
        part["number"] = chunk.numbers
        parts.append(part)
        if "time" in columns:
            times.append(chunk.columns[columns["time"]])
    rows = pd.concat(parts, ignore_index=True)
    if "time" not in columns:
        rows["timestamp"] = rows.groupby("user").cumcount()
        order = "of the file"
    else:
        rows, order = _sort_by_time(rows, pa.chunked_array(times), columns["time"], mapping, places, ledger)
    if 2 * len(rows) < offered:
        raise UserError(
            f"{str(table.path)!r}: {offered - len(rows)} of {offered} rows cannot be used ({ledger.explain()}): "
            "is it the right file, with the right columns?"
        )
    return rows.drop(columns="number"), order


def _sort_by_time(
    rows: pd.DataFrame,
    column: pa.ChunkedArray,
    name: str,
    mapping: InteractionColumns,
    places: str,
    ledger: DropLedger,
) -> tuple[pd.DataFrame, str]:
    """Add the times and sort by them: in seconds, as a dataset has them, and within a second by its fractions."""
    times = read_times(column, name, mapping.time_unit, mapping.time_format)
    numbers = rows["number"].to_numpy()
    for reason, wrong in times.problems.items():
        add_places(ledger, "interaction", reason, places, numbers[wrong])
    good = times.good
    unreadable = np.flatnonzero(times.problems[UNREADABLE])
    if 2 * len(unreadable) > len(rows):
        place = int(unreadable[0])
        try:
            text = str(column[place].as_py())
        except (ValueError, OverflowError):  # beyond Python's calendar, or in an unknown time zone
            text = "outside the years 1 to 9999"
        way = "write times as numbers or ISO dates (2021-04-03 10:15:00)"
        if may_be_day_or_month_first(text):
            way = "its day and month are ambiguous: write 2021-04-03, or set time_format: '%d/%m/%Y' in columns.yaml"
        raise UserError(f"column {name!r}, {places} {numbers[place]}: {text[:40]!r} cannot be read as a time: {way}")
    order = np.lexsort((times.nanoseconds[good], times.seconds[good]))
    rows = rows.assign(timestamp=times.seconds, fraction=times.nanoseconds)[good].iloc[order].reset_index(drop=True)
    return rows, f"of column {name}: {times.read_as}"
