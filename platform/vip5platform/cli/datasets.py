"""`vip5 prepare`, `vip5 describe` and `vip5 images`: prepare datasets, describe them and download their images."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

from rich.markup import escape

from vip5core.data.build import BuildOptions
from vip5core.data.filters import DUPLICATES, REPEATS
from vip5core.data.images.options import MAX_PER_ITEM, DownloadOptions
from vip5core.data.sources import SOURCES, options_of, read_source
from vip5core.errors import UserError
from vip5core.storage import writable_folder
from vip5core.vocabulary import ID_SCHEMES, SPLIT_SCHEMES, TIES


def _sources() -> str:
    width = max(map(len, SOURCES))
    rows = [f"  {name:<{width}}  {source.files or 'generated, needs no files'}" for name, source in SOURCES.items()]
    return "sources and the files that --source must contain:\n" + "\n".join(rows)


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 prepare`."""
    parser.epilog, parser.formatter_class = _sources(), argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "dataset",
        metavar="SOURCE",
        help="one of the sources below, with a part if it has several: amazon-2014:beauty, minimart:500",
    )
    add("--source", type=Path, metavar="DIR", help="folder with the raw files")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the new dataset, which must not exist")
    add(
        "--ids",
        dest="id_scheme",
        metavar="SCHEME",
        help=f"item id scheme: {', '.join(ID_SCHEMES)}; @ENCODER may follow semantic ones "
        f"(default: {_default('id_scheme')})",
    )
    add(
        "--k-core",
        type=int,
        metavar="K",
        help=f"keep users and items with at least K interactions (default: {_default('k_core')})",
    )
    add(
        "--duplicates",
        choices=DUPLICATES,
        help=f"what to do with repeated rows of one user, item and second (default: {_default('duplicates')})",
    )
    add(
        "--repeats",
        choices=REPEATS,
        help=f"what to do with further interactions of a user with an item (default: {_default('repeats')})",
    )
    add(
        "--ties",
        choices=TIES,
        help=f"order of a user's interactions at the same time: seeded, or of the file (default: {_default('ties')})",
    )
    add(
        "--split",
        choices=SPLIT_SCHEMES,
        help=f"hold out each user's last two interactions, or all after two points in time (default: "
        f"{_default('split')})",
    )
    add(
        "--held-out",
        type=float,
        metavar="SHARE",
        help=f"share of interactions in each held-out split, if split by time (default: {_default('held_out')})",
    )
    add(
        "--candidates",
        type=int,
        metavar="N",
        help=f"number of candidates in direct recommendation (default: {_default('candidates')})",
    )
    add("--seed", type=int, metavar="N", help=f"seed of item ids, ties and candidates (default: {_default('seed')})")
    parser.set_defaults(run=_prepare)


def _default(option: str) -> str:
    """The default of a build option, and the sources that have another."""
    usual = getattr(BuildOptions(), option)
    others: dict[str, list[str]] = {}
    for name, source in SOURCES.items():
        if (own := getattr(source.defaults, option)) != usual:
            others.setdefault(str(own), []).append(name)
    return "; ".join([str(usual), *(f"{own} for {', '.join(names)}" for own, names in others.items())])


def _prepare(given: argparse.Namespace) -> int:
    from vip5core.data.build import build_dataset
    from vip5core.data.dataset import Dataset
    from vip5platform.console import say, stage
    from vip5platform.report.datasets import print_dataset_summary

    names = [field.name for field in dataclasses.fields(BuildOptions)]
    options = options_of(given.dataset, **{name: getattr(given, name) for name in names})
    options.check()
    if given.out.exists():
        raise UserError(f"--out {str(given.out)!r} exists: choose another folder, or remove it first")
    writable_folder(given.out.absolute().parent, "--out")
    with stage(f"reading {given.dataset}"):
        raw = read_source(given.dataset, given.source, options.seed)
    with stage("building"):
        build_dataset(raw, given.out, options)
    dataset = Dataset.load(given.out)
    print_dataset_summary(dataset)
    if dataset.items["image_urls"].map(len).any():
        say(f"download its images: [bold]vip5 images {escape(str(given.out))}[/]")
    return 0


def add_describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 describe`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a prepared dataset")
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="file for the sheet of sample items (default: DIR/sheet.png)"
    )
    parser.set_defaults(run=_describe)


def _describe(given: argparse.Namespace) -> int:
    from vip5core.data.dataset import Dataset
    from vip5core.data.describe import describe
    from vip5core.data.images.sheet import draw_sheet
    from vip5platform.console import console, say
    from vip5platform.report.datasets import description_tables

    dataset = Dataset.load(given.folder)
    for table in description_tables(dataset, describe(dataset)):
        console.print(table)
    sheet = draw_sheet(dataset, given.sheet or given.folder / "sheet.png")
    say(f"sample items: [bold]{escape(str(sheet))}[/]")
    return 0


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 images`."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="a prepared dataset")
    add(
        "--downloads",
        type=Path,
        metavar="DIR",
        help="folder of the original files and the ledger (default: DIR.downloads)",
    )
    add(
        "--mirror",
        action="append",
        default=[],
        metavar="FROM=TO",
        help="download from TO… instead of every URL that starts with FROM; may be repeated",
    )
    usual = DownloadOptions()
    add(
        "--per-host",
        type=int,
        default=usual.per_host,
        metavar="N",
        help="concurrent requests per host (default: %(default)s)",
    )
    add(
        "--timeout",
        type=float,
        default=usual.timeout_s,
        metavar="S",
        help="seconds per image (default: %(default)g)",
    )
    add(
        "--max-mb",
        type=float,
        default=usual.max_bytes / 1e6,
        metavar="MB",
        help="largest image in MB (default: %(default)g)",
    )
    add(
        "--per-item",
        type=int,
        default=1,
        metavar="N",
        help=f"most pictures of an item, from 1 to {MAX_PER_ITEM}; item_images=mean uses all (default: %(default)s)",
    )
    add("--allow-private", action="store_true", help="allow hosts in private networks, including this machine")
    add("--retry-failed", action="store_true", help="retry images that failed permanently")
    parser.set_defaults(run=_images)


def _images(given: argparse.Namespace) -> int:
    from vip5core.data.images.dataset_images import add_images as download
    from vip5platform.console import stage
    from vip5platform.report.datasets import print_images_summary

    if not 0 < given.max_mb < math.inf:
        raise UserError(f"--max-mb {given.max_mb}: must be a number above 0")
    options = DownloadOptions(
        per_host=given.per_host,
        timeout_s=given.timeout,
        max_bytes=int(given.max_mb * 1e6),
        allow_private=given.allow_private,
        retry_failed=given.retry_failed,
        mirrors=tuple(_mirror(text) for text in given.mirror),
    )
    folder = given.folder.resolve()
    downloads = given.downloads or folder.with_name(f"{folder.name}.downloads")
    with stage("images") as update:
        added = download(folder, downloads, options, update, given.per_item)
    print_images_summary(added, downloads)
    return 0 if added.reasons.empty else 1


def _mirror(text: str) -> tuple[str, str]:
    before, equals, after = text.partition("=")
    if not (equals and before and after.startswith(("http://", "https://"))):
        raise UserError(f"--mirror {text!r}: must look like http://old.host/=http://new.host/")
    return before, after
