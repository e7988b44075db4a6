"""The sources by name, and the one way from a name to a prepared folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.raw import RawData
from vip5core.data.readers.amazon.reader import amazon
from vip5core.data.readers.minimart.reader import DEFAULT_USERS, minimart
from vip5core.data.readers.movielens.reader import movielens_1m, movielens_100k, movielens_latest
from vip5core.data.readers.pinterest import pinterest
from vip5core.data.readers.release.reader import vip5_release
from vip5core.data.readers.tables.reader import tables
from vip5core.errors import UserError, unknown_name
from vip5core.fingerprint import code_version, fingerprint
from vip5core.home import Home
from vip5core.storage import writable_folder
from vip5core.vocabulary import PROVIDED


@dataclass(frozen=True)
class Request:
    """What is asked of a reader.

    Attributes:
        name: the source's name.
        part: what follows the name after a colon, such as a category (`amazon-2014:beauty`); empty if nothing does.
        folder: the raw files; for a source without files, the current folder, unused.
        seed: of random choices.
    """

    name: str
    part: str
    folder: Path
    seed: int


@dataclass(frozen=True)
class Source:
    """A reader and what goes without saying for its data.

    Attributes:
        read: makes tables of raw files.
        files: what its folder holds, for the help; empty: it needs none.
        defaults: the build options that this source has unless something else is asked.
    """

    read: Callable[[Request], RawData]
    files: str = ""
    defaults: BuildOptions = field(default_factory=BuildOptions)


def _minimart(request: Request) -> RawData:
    """`minimart`, `minimart:N` with N users, or `minimart:N:S`: that shop of seed S, whatever the request's seed is.

    Without S the request's seed decides on the shop, as it does on ids and candidate lists in any case. Shops of two
    seeds share the language and the rule, but no item and no user.

    Raises:
        UserError: if N or S is no such number, or more than these two are given.
    """
    size, colon, seed = request.part.partition(":")
    name = f"{request.name}:{request.part}"
    if (size or colon) and not (_is_number(size) and int(size) > 0):
        raise UserError(f"dataset {name!r}: the size after ':' must be a positive number of users")
    if colon and not (_is_number(seed) and int(seed) < 2**32):
        raise UserError(
            f"dataset {name!r}: after the number of users comes the shop's seed, from 0 to {2**32 - 1}, "
            f"such as minimart:{size}:1"
        )
    return minimart(int(size) if size else DEFAULT_USERS, int(seed) if colon else request.seed)


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii()


def _amazon(request: Request) -> RawData:
    return amazon(int(request.name.removeprefix("amazon-")), request.part, request.folder)


def _vip5_release(request: Request) -> RawData:
    return vip5_release(request.folder, request.part)


def _whole(read: Callable[[Path, int], RawData]) -> Callable[[Request], RawData]:
    """A reader of a folder that has no parts."""

    def answer(request: Request) -> RawData:
        if request.part:
            raise UserError(
                f"{request.name}:{request.part}: {request.name} has no parts or sizes; leave out ':{request.part}'"
            )
        return read(request.folder, request.seed)

    return answer


_MOVIES = "posters/{movie id}.jpg, overviews.csv"
SOURCES: dict[str, Source] = {
    "minimart": Source(_minimart),
    "amazon-2014": Source(_amazon, "reviews_CATEGORY_5.json.gz and meta_CATEGORY.json.gz", BuildOptions(k_core=5)),
    "amazon-2018": Source(_amazon, "CATEGORY_5.json.gz and meta_CATEGORY.json.gz", BuildOptions(k_core=5)),
    "amazon-2023": Source(_amazon, "CATEGORY.jsonl.gz and meta_CATEGORY.jsonl.gz", BuildOptions(k_core=5)),
    "vip5-release": Source(
        _vip5_release, "sequential_data.txt, datamaps.json, …", BuildOptions(id_scheme=PROVIDED, repeats="keep")
    ),
    "movielens-100k": Source(_whole(movielens_100k), f"ml-100k/, {_MOVIES}"),
    "movielens-1m": Source(_whole(movielens_1m), f"ml-1m/, {_MOVIES}"),
    "movielens-latest": Source(_whole(movielens_latest), f"ml-latest-small/, {_MOVIES}"),
    "pinterest": Source(
        _whole(pinterest), "pinterest-20.train.rating, .test.rating, .test.negative, images/{item}.jpg"
    ),
    "tables": Source(_whole(tables), "interactions, items and explanations as .csv, .tsv or .parquet, columns.yaml"),
}


def options_of(dataset: str, **given: Any) -> BuildOptions:
    """The build options for `dataset`: its source's own, but for what is given (None: not given)."""
    source = SOURCES.get(dataset.partition(":")[0])
    defaults = source.defaults if source else BuildOptions()
    return dataclasses.replace(defaults, **{key: value for key, value in given.items() if value is not None})


def read_source(dataset: str, folder: Path | None, seed: int = 0) -> RawData:
    """Read the raw files of `dataset`.

    Args:
        dataset: a name in `SOURCES`, with what that source takes after a colon: `minimart:20000`, `minimart:600:3`,
            `amazon-2014:toys`.
        folder: the raw files, where the source needs some.
        seed: of random choices.

    Raises:
        UserError: for an unknown name, a missing folder, or files that are not what they should be.
    """
    name, _, part = dataset.partition(":")
    if name not in SOURCES:
        raise unknown_name("dataset", name, [*SOURCES, "or the folder of a prepared dataset"])
    files = SOURCES[name].files
    if files and folder is None:
        raise UserError(f"{name} needs --source: the folder that holds {files}")
    return SOURCES[name].read(Request(name, part, _folder(folder, name, files), seed))


def _folder(folder: Path | None, name: str, files: str) -> Path:
    if folder is None:
        return Path()
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"--source {str(folder)!r} is not a folder")
    if not any(folder.iterdir()):
        raise UserError(f"--source {str(folder)!r} is empty: it must hold the raw files of {name}: {files}")
    return folder


def prepare(dataset: str, source: Path | None, home: Home, options: BuildOptions | None = None) -> Path:
    """Prepare `dataset` under `home`, or find it there.

    Args:
        dataset: as in `read_source`, or the folder of a dataset prepared before.
        source: the folder of raw files, where the source needs one.
        home: datasets go to `home/datasets/`.
        options: see `BuildOptions`; None: the source's own.

    Returns:
        The dataset's folder. The same request, source files (names, sizes, times) and code find it again.

    Raises:
        UserError: for an unknown name, a missing source or one without usable rows, or a home that cannot be written.
    """
    options = options or options_of(dataset)
    out = dataset_folder(dataset, source, home, options)
    if not out.is_dir():
        raw = read_source(dataset, source, options.seed)
        writable_folder(out.parent, "the home of datasets")
        build_dataset(raw, out, options)
    return out


def dataset_folder(dataset: str, source: Path | None, home: Home, options: BuildOptions) -> Path:
    """Where `prepare` puts this dataset, or has put it."""
    if (Path(dataset) / "manifest.json").is_file():
        return Path(dataset)
    key = fingerprint(dataset, _listing(source, home.root), vars(options), code_version())
    return home.datasets / f"{dataset.partition(':')[0]}-{key}"


def _listing(source: Path | None, home: Path) -> list[list[str | int]]:
    """Every file of a folder by name, size and time: changes whenever a raw file does, not with what is made of it."""
    if source is None:
        return []
    source, home = source.expanduser().resolve(), home.resolve()
    files = sorted(path for path in source.rglob("*") if path.is_file())
    if home != source and home.is_relative_to(source):
        files = [path for path in files if not path.is_relative_to(home)]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
