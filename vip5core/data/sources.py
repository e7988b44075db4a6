"""The sources by name, and the one way from a name to a prepared folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.minimart import DEFAULT_USERS, minimart
from vip5core.data.movielens import movielens_100k
from vip5core.data.raw import RawData
from vip5core.errors import UserError, unknown_name
from vip5core.fingerprint import code_version, fingerprint
from vip5core.storage import writable_folder


def _read_minimart(size: int | None, source: Path | None, seed: int) -> RawData:
    del source
    return minimart(size or DEFAULT_USERS, seed)


def _read_movielens_100k(size: int | None, source: Path | None, seed: int) -> RawData:
    if size is not None:
        raise UserError(f"movielens-100k:{size}: only minimart has a size; leave out ':{size}'")
    if source is None:
        raise UserError("movielens-100k needs --source: the folder that holds ml-100k/, posters/ and overviews.csv")
    return movielens_100k(source, seed)


#: name -> reader(size, source folder, seed)
SOURCES: dict[str, Callable[[int | None, Path | None, int], RawData]] = {
    "minimart": _read_minimart,
    "movielens-100k": _read_movielens_100k,
}


def prepare(dataset: str, source: Path | None, home: Path, options: BuildOptions | None = None) -> Path:
    """Prepare `dataset` under `home`, or find it there.

    Args:
        dataset: a name in `SOURCES`, for minimart with an optional number of users (`minimart:20000`), or the
            folder of a dataset prepared before.
        source: the folder of raw files, where the source needs one.
        home: datasets go to `home/datasets/`.
        options: ids, candidates, seed.

    Returns:
        The dataset's folder. The same request, source files (names, sizes, times) and code find it again.

    Raises:
        UserError: for an unknown name, a missing source or one without usable rows, or a home that cannot be written.
    """
    options = options or BuildOptions()
    if (Path(dataset) / "manifest.json").is_file():
        return Path(dataset)
    name, _, size_text = dataset.partition(":")
    if name not in SOURCES:
        raise unknown_name("dataset", name, [*SOURCES, "or the folder of a prepared dataset"])
    if size_text and not (size_text.isdecimal() and int(size_text) > 0):
        raise UserError(f"dataset {dataset!r}: the size after ':' must be a positive number of users")
    if source is not None:
        source = source.expanduser().resolve()
        if not source.is_dir():
            raise UserError(f"--source {str(source)!r} is not a folder")
        if not any(source.iterdir()):
            raise UserError(f"--source {str(source)!r} is empty: it must hold the raw files of {name}")
    size = int(size_text) if size_text else None
    key = fingerprint(name, size, _listing(source), vars(options), code_version())
    out = home / "datasets" / f"{name}-{key}"
    if not out.is_dir():
        writable_folder(out.parent, "the home of datasets")
        build_dataset(SOURCES[name](size, source, options.seed), out, options)
    return out


def _listing(source: Path | None) -> list[list[str | int]]:
    """Every file of a folder by name, size and time: changes whenever a raw file does."""
    if source is None:
        return []
    files = sorted(path for path in source.rglob("*") if path.is_file())
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
