"""The sources by name, and how a name becomes a prepared dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import MANIFEST
from vip5core.data.ids import models_of_ids
from vip5core.data.raw import RawData, ReadRequest
from vip5core.data.readers.amazon import read_amazon
from vip5core.data.readers.minimart import read_minimart
from vip5core.data.readers.movielens import read_movielens_1m, read_movielens_100k, read_movielens_latest
from vip5core.data.readers.pinterest import read_pinterest
from vip5core.data.readers.release import read_release
from vip5core.data.readers.tables import picture_root, read_tables
from vip5core.errors import UserError, unknown_name
from vip5core.fingerprint import PREPARATION_ROOTS, code_identity, fingerprint
from vip5core.home import Home
from vip5core.storage import writable_folder
from vip5core.vocabulary import PROVIDED


@dataclass(frozen=True)
class Source:
    """A reader, and the defaults for its data.

    Attributes:
        read: the function that reads the raw files into tables.
        files: the files that its folder holds, for the help; empty if it needs none.
        elsewhere: the folder outside its own that it reads files of, too; None if there is none.
        has_parts: whether something may follow the name after a colon, such as a category or a size.
        defaults: the build options for this source, unless others are given.
    """

    read: Callable[[ReadRequest], RawData]
    files: str = ""
    elsewhere: Callable[[Path], Path | None] = lambda folder: None
    has_parts: bool = False
    defaults: BuildOptions = field(default_factory=BuildOptions)


_FIVE_CORE = BuildOptions(k_core=5)
_MOVIES = "posters/{movie id}.jpg, overviews.csv"
SOURCES: dict[str, Source] = {
    "minimart": Source(read_minimart, has_parts=True),
    "amazon-2014": Source(
        read_amazon, "reviews_CATEGORY_5.json.gz and meta_CATEGORY.json.gz", has_parts=True, defaults=_FIVE_CORE
    ),
    "amazon-2018": Source(
        read_amazon, "CATEGORY_5.json.gz and meta_CATEGORY.json.gz", has_parts=True, defaults=_FIVE_CORE
    ),
    "amazon-2023": Source(
        read_amazon, "CATEGORY.jsonl.gz and meta_CATEGORY.jsonl.gz", has_parts=True, defaults=_FIVE_CORE
    ),
    "vip5-release": Source(
        read_release,
        "sequential_data.txt, datamaps.json, …",
        has_parts=True,
        defaults=BuildOptions(id_scheme=PROVIDED, repeats="keep"),
    ),
    "movielens-100k": Source(read_movielens_100k, f"ml-100k/, {_MOVIES}"),
    "movielens-1m": Source(read_movielens_1m, f"ml-1m/, {_MOVIES}"),
    "movielens-latest": Source(read_movielens_latest, f"ml-latest-small/, {_MOVIES}"),
    "pinterest": Source(read_pinterest, "pinterest-20.train.rating, .test.rating, .test.negative, images/{item}.jpg"),
    "tables": Source(
        read_tables,
        "interactions, items and explanations as .csv, .tsv or .parquet, columns.yaml",
        elsewhere=picture_root,
    ),
}


def options_of(dataset: str, **given: Any) -> BuildOptions:
    """The build options for `dataset`: those given, and its source's own for the others (None: not given)."""
    source = SOURCES.get(dataset.partition(":")[0])
    defaults = source.defaults if source else BuildOptions()
    return dataclasses.replace(defaults, **{key: value for key, value in given.items() if value is not None})


def read_source(dataset: str, folder: Path | None, seed: int = 0) -> RawData:
    """Read the raw files of `dataset`.

    Args:
        dataset: the name of a source in `SOURCES`, with its part after a colon, if any: `minimart:20000`,
            `minimart:600:3`, `amazon-2014:toys`.
        folder: the folder of raw files, for sources that need one.
        seed: the seed of random choices.

    Raises:
        UserError: for an unknown name, a missing folder, or files that cannot be used.
    """
    name, _, part = dataset.partition(":")
    if name not in SOURCES:
        raise unknown_name("dataset", name, [*SOURCES, "or the folder of a prepared dataset"])
    source = SOURCES[name]
    if part and not source.has_parts:
        raise UserError(f"{dataset}: {name} has no parts or sizes; leave out ':{part}'")
    if source.files and folder is None:
        raise UserError(f"{name} needs --source: the folder that holds {source.files}")
    return source.read(ReadRequest(name, part, _check_folder(folder, name, source.files), seed))


def _check_folder(folder: Path | None, name: str, files: str) -> Path:
    if folder is None:
        return Path()
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"--source {str(folder)!r} is not a folder")
    if not any(folder.iterdir()):
        raise UserError(f"--source {str(folder)!r} is empty: it must hold the raw files of {name}, {files}")
    return folder


def prepare(dataset: str, source: Path | None, home: Home, options: BuildOptions | None = None) -> Path:
    """Prepare `dataset` under `home`, or find it there.

    Args:
        dataset: the name of a source, as in `read_source`, or the folder of a prepared dataset.
        source: the folder of raw files, for sources that need one.
        home: the home folder, in which the dataset is prepared.
        options: the build options; None for the source's own.

    Returns:
        The folder of the dataset. The same arguments, source files (names, sizes, times) and code give the same one.

    Raises:
        UserError: for an unknown name, a source that is missing or has no usable rows, or a home that is not writable.
    """
    options = options or options_of(dataset)
    out = dataset_folder(dataset, source, home, options)
    if not home.fetch(out).is_dir():
        raw = read_source(dataset, source, options.seed)
        writable_folder(out.parent, "the folder of datasets")
        build_dataset(raw, out, options)
        home.publish(out)
    return out


def dataset_folder(dataset: str, source: Path | None, home: Home, options: BuildOptions) -> Path:
    """The folder in which `prepare` puts this dataset."""
    if (Path(dataset) / MANIFEST).is_file():
        return Path(dataset)
    name = dataset.partition(":")[0]
    files = _list_files(source, home.root)
    if source is not None and name in SOURCES:
        files += _list_files(SOURCES[name].elsewhere(source.expanduser().resolve()), home.root)
    models = models_of_ids(options.id_scheme)
    key = fingerprint(dataset, files, vars(options), code_identity(*PREPARATION_ROOTS), *models)
    return home.datasets / f"{name}-{key}"


def _list_files(source: Path | None, home: Path) -> list[list[str | int]]:
    """List the files of a source by name, size and time, without those of a home folder inside it.

    Folders that are linked, as pictures on another disk may be, are listed without those below them.
    """
    if source is None:
        return []
    source, home = source.expanduser().resolve(), home.resolve()
    paths = list(source.rglob("*"))
    links = [path for path in paths if path.is_symlink() and path.is_dir()]
    paths += [path for link in links if link.resolve() != home for path in link.glob("*")]
    files = sorted(path for path in paths if path.is_file())
    if home != source and home.is_relative_to(source):
        files = [path for path in files if not path.is_relative_to(home)]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
