"""`vip5 run`: the studies that come with the platform, and study files of one's own."""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
from pathlib import Path

from vip5core.errors import UserError, first_line, unknown_name
from vip5platform.cli.sweep import main
from vip5platform.declarations import Search, Study

#: In a wheel the sweeps lie inside this package; in a checkout, beside `platform/`.
_PACKAGE = Path(__file__).parents[1]
_PLACES = (_PACKAGE / "sweeps", _PACKAGE.parents[1] / "sweeps")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 run`; those after the study's name are read by the study's own parser."""
    parser.usage = "vip5 run [-h] [--list] STUDY [OPTION …]"
    parser.epilog = "vip5 run STUDY --help explains the options of a study"
    parser.add_argument("--list", action="store_true", help="list the studies that come with the platform, and exit")
    parser.add_argument(
        "study",
        nargs=argparse.REMAINDER,
        metavar="STUDY [OPTION …]",
        help="name of a study (encoder-ablation), or a Python file that declares one; then its options",
    )
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    if given.list:
        for declared in map(declared_in, sweep_files().values()):
            print(f"{declared.name:<22}{declared.question}")
        return 0
    if not given.study:
        raise UserError(f"vip5 run: name a study: {', '.join(sweep_files())}, or a Python file that declares one")
    name, *options = given.study
    main(find_declared(name), options, prog=f"vip5 run {name}")


def sweep_files() -> dict[str, Path]:
    """The files of the studies that come with the platform, by the name of the study."""
    folder = next(place for place in _PLACES if place.is_dir())
    return {file.stem.replace("_", "-"): file for file in sorted(folder.glob("*.py"))}


def find_declared(name: str) -> Study | Search:
    """The study of this name, or the one that the file of this name declares.

    Raises:
        UserError: If there is none.
    """
    if name.endswith(".py"):
        return declared_in(Path(name))
    files = sweep_files()
    file = files.get(name.replace("_", "-"))
    if file is None:
        raise unknown_name("study", name, files)
    return declared_in(file)


def declared_in(file: Path) -> Study | Search:
    """What a study file declares; it is run as a module, so that it may import its neighbours.

    Raises:
        UserError: If it cannot be read or run, or declares no study, or more than one.
    """
    if not file.is_file():
        raise UserError(f"study {str(file)!r}: there is no such file")
    sys.path.insert(0, str(file.resolve().parent))
    try:
        names = runpy.run_path(str(file))
    except UserError:
        raise
    except Exception as error:
        where = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = f", line {where[-1]}" if where else ""
        raise UserError(f"study {str(file)!r}{line}: {type(error).__name__}: {first_line(error)}") from None
    finally:
        sys.path.pop(0)
    found = {id(value): value for value in names.values() if isinstance(value, Study | Search)}
    if len(found) != 1:
        raise UserError(f"study {str(file)!r}: declares {len(found) or 'no'} studies; must declare one Study or Search")
    return next(iter(found.values()))
